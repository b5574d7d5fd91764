"""What is missing on the machine is one line that says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.local import prerequisites


def put(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with Java 17 and Maven and nothing else."""
    put(tmp_path, "java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    put(tmp_path, "mvn", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def test_a_complete_machine_is_taken(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prerequisites.main() == 0
    assert capsys.readouterr().err == ""


def test_an_old_python_is_refused() -> None:
    with pytest.raises(prerequisites.Missing) as refused:
        prerequisites.require_python((3, 9))

    assert str(refused.value) == (
        "Python 3.11 or newer is needed and python3 is 3.9: name a newer one, as in `make run PYTHON=python3.12`"
    )


def test_a_missing_java_is_one_line(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "java").unlink()

    assert prerequisites.main() == 2
    assert capsys.readouterr().err == (
        "Java 17 or newer is needed and there is none: apt-get install openjdk-17-jdk-headless\n"
    )


def test_an_old_java_is_one_line(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(machine, "java", "echo 'openjdk version \"11.0.2\"' >&2")

    assert prerequisites.main() == 2
    assert capsys.readouterr().err == (
        f"Java 17 or newer is needed and {machine}/java is 11: "
        "apt-get install openjdk-17-jdk-headless, or set JAVA_HOME to a newer one\n"
    )


def test_a_missing_maven_is_one_line(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "mvn").unlink()

    assert prerequisites.main() == 2
    assert capsys.readouterr().err == "Maven is needed to fetch Kafka and there is none: apt-get install maven\n"


def test_a_missing_venv_is_one_line(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "ensurepip", raising=False)

    with pytest.raises(prerequisites.Missing, match=r"^Python's venv module is missing: apt-get install python3-venv$"):
        prerequisites.require_python((3, 11))
