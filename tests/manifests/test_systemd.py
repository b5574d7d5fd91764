"""The units: systemd's own verifier takes them, they are locked in, and their processes start with their settings."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.manifests.checkers import DEPLOY, check, refuses
from tests.manifests.known_settings import start

UNITS = DEPLOY / "systemd"
SERVICES = sorted(unit.name for unit in UNITS.glob("*.service"))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Lay the units out with a program that exists here in place of the installed one."""
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/playback/venv/bin/python", str(shutil.which("env")))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def _verify(folder: Path, unit: str) -> tuple[str, ...]:
    return ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(folder / unit))


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("unit", SERVICES)
def test_the_verifier_finds_nothing_in(unit: str, installed: Path) -> None:
    assert check(*_verify(installed, unit)) == ""


@pytest.mark.usefixtures("tools")
def test_the_verifier_would_find_a_fault(installed: Path) -> None:
    unit = installed / "playback-report.service"
    unit.write_text(unit.read_text().replace("Type=exec", "Type=exce").replace("ExecStart=", "ExecStrat="))
    assert refuses(*_verify(installed, unit.name))


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("unit", SERVICES)
def test_little_is_left_to_a_process_that_is_taken_over(unit: str, installed: Path) -> None:
    # systemd's measure of exposure, in tenths: 9.6 without any of the settings.
    check("systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=15", str(installed / unit))


@pytest.mark.parametrize("unit", SERVICES)
def test_the_process_starts_with_the_settings_of(unit: str) -> None:
    role = re.split(r"[-@.]", unit)[1]
    text = (UNITS / unit).read_text().replace("%i", "1").replace("%l", "host")
    lines = re.findall(r"^Environment=(.+)$", text, re.MULTILINE)
    given = dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))
    start(role, given)
