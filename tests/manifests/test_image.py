"""The image: its file passes hadolint, and what it copies is all that every role needs to start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifests.checkers import DEPLOY, REPO, check, python_tool, refuses

DOCKERFILE = DEPLOY / "Dockerfile"
ROLES = {
    "ingest": "import ingest.__main__, ingest.process, ingest.supervisor",
    "worker": "import pipeline.worker",
    "report": "import pipeline.report.server",
    "topics": "import pipeline.topics",
    "probe": "import pipeline.commands.probe",
    "rights": "import deploy.kafka.acls, deploy.kafka.users",
}


@pytest.mark.usefixtures("tools")
def test_hadolint_finds_nothing() -> None:
    check(python_tool("hadolint"), "--strict-labels", DOCKERFILE)


@pytest.mark.usefixtures("tools")
def test_hadolint_would_find_a_fault(tmp_path: Path) -> None:
    faulty = tmp_path / "Dockerfile"
    faulty.write_text(DOCKERFILE.read_text().replace("WORKDIR /app", "WORKDIR app\nRUN cd /tmp"))
    assert refuses(python_tool("hadolint"), faulty)


def test_packages_come_by_hash_as_wheels_and_nothing_runs_as_root() -> None:
    text = DOCKERFILE.read_text()
    assert "--require-hashes" in text
    assert "--only-binary :all:" in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    # By exact version; deploy/README.md says why not by digest.
    assert re.findall(r"^ARG \w+_IMAGE=(.+)$", text, re.MULTILINE) == [
        "python:3.11.14-slim-bookworm",
        "maven:3.9.11-eclipse-temurin-17",
    ]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out what the Dockerfile copies from the repository."""
    root = tmp_path_factory.mktemp("app")
    lines = re.findall(r"^COPY (?!--from)(\S+) (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert len(lines) == 7, "the Dockerfile copies something else: look whether this test still understands it"
    for source, target in lines:
        place = root / (source if target == "." else target)
        place.parent.mkdir(parents=True, exist_ok=True)
        if (REPO / source).is_dir():
            shutil.copytree(REPO / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPO / source, place)
    return root


@pytest.mark.parametrize("role", ROLES)
def test_the_image_holds_all_that_is_imported_by(role: str, image: Path) -> None:
    # setuptools and pip are not in the image: an import of theirs must not be missed.
    blocked = "import sys\nfor name in ('setuptools', 'pkg_resources', 'pip'): sys.modules[name] = None\n"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", blocked + ROLES[role]],
        cwd=image,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_only_what_the_image_holds_is_sent_to_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE.read_text(), re.MULTILINE)
    sent = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert sorted(sent) == sorted(copied)
