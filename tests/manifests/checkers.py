"""The checkers of deploy/: installed once by install-tools, run as their makers' own commands."""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]
DEPLOY = REPO / "deploy"
TOOLS = REPO / "build" / "deploy-tools"
INSTALL = REPO / "tests" / "manifests" / "install-tools"
LOCK = TOOLS.with_suffix(".lock")
READ_YAML = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin)), default=str))"


def install(script: Path = INSTALL, lock: Path = LOCK) -> None:
    """Install what is missing; the second time this takes no time.

    Tests run side by side, and each process of them comes here: one installs, the others wait for it.
    """
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run([str(script)], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"tests/manifests/install-tools failed:\n{done.stdout}{done.stderr}"


def check(*command: str | Path, given: str | None = None, folder: Path = REPO) -> str:
    """Run a checker to its end and return what it printed; its refusal is the test's failure."""
    done = _run(*command, given=given, folder=folder)
    assert done.returncode == 0, f"{Path(command[0]).name} says:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def refuses(*command: str | Path, given: str | None = None) -> bool:
    """Tell whether a checker refuses: a checker that lets everything pass checks nothing."""
    return _run(*command, given=given).returncode != 0


def _run(*command: str | Path, given: str | None, folder: Path = REPO) -> subprocess.CompletedProcess[str]:
    words = tuple(map(str, command))
    return subprocess.run(words, input=given, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def python_tool(name: str) -> Path:
    return TOOLS / "venv" / "bin" / name


def go_tool(name: str) -> Path:
    return TOOLS / "bin" / name


def documents(text: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML text."""
    found: list[dict[str, Any]] = json.loads(check(python_tool("python"), "-c", READ_YAML, given=text))
    return found
