"""The house keeps its rules."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import rules

REPO = Path(__file__).parents[2]


@functools.cache
def sources() -> dict[str, str]:
    """Return every Python file of the house by its path."""
    return {
        str(path.relative_to(REPO)): path.read_text()
        for room in rules.ROOMS
        for path in sorted((REPO / room).rglob("*.py"))
        if "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(
    "rule",
    [
        rules.upstream_only,
        rules.pure_files_do_not_act,
        rules.short_files,
        rules.short_functions,
        rules.telling_names,
        rules.first_sentence,
        rules.nothing_left_open,
        rules.nothing_swallowed,
    ],
    ids=lambda rule: rule.__name__,
)
def test_the_house_keeps(rule: Callable[[rules.Sources], list[str]]) -> None:
    complaints = rule(sources())

    assert not complaints, "\n".join(complaints)


def test_every_guarantee_of_the_readme_names_a_test() -> None:
    assert rules.guarantees_are_proven((REPO / "README.md").read_text(), sources()) == []


def test_the_lock_files_hold_hashes_and_name_no_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-tracing.lock"):
        text = (REPO / name).read_text()
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pinned, f"{name} pins nothing"
        assert all("==" in line and line.endswith("\\") for line in pinned)
        assert "://" not in text


def test_run_and_development_install_the_same_versions() -> None:
    run, tracing, development = (
        {line for line in (REPO / name).read_text().splitlines() if line[:1].isalpha()}
        for name in ("requirements.lock", "requirements-tracing.lock", "requirements-dev.lock")
    )

    assert run <= development
    assert tracing <= development


def test_the_makefile_describes_every_command() -> None:
    shown = subprocess.run(("make", "help"), cwd=REPO, check=True, capture_output=True, text=True).stdout

    targets = {line.split()[1] for line in shown.splitlines() if line.startswith("  make ")}
    assert targets == {
        "help",
        "run",
        "players",
        "check",
        "test",
        "chaos",
        "fuzz",
        "bench",
        "bench-profile",
        "lock",
        "clean",
    }
