"""What must be on the machine before anything is installed; what is missing is one line that says what to do.

Runs by the system's own Python, before the virtual environment exists: standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PYTHON = (3, 11)
JAVA = 17


class Missing(Exception):
    """Nothing can be started; the text is the line to print."""


def java() -> str:
    """Return the java command: JAVA_HOME's, else the one on PATH."""
    home = os.environ.get("JAVA_HOME", "")
    return str(Path(home, "bin", "java")) if home else "java"


def require_python(version: tuple[int, int]) -> None:
    """Refuse a Python that is too old, or one without venv."""
    if version < PYTHON:
        raise Missing(
            f"Python 3.11 or newer is needed and python3 is {version[0]}.{version[1]}: "
            "name a newer one, as in `make run PYTHON=python3.12`"
        )
    if importlib.util.find_spec("ensurepip") is None:
        raise Missing("Python's venv module is missing: apt-get install python3-venv")


def require_java() -> None:
    """Refuse a missing or too old Java."""
    found = shutil.which(java())
    if found is None:
        raise Missing("Java 17 or newer is needed and there is none: apt-get install openjdk-17-jdk-headless")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    number = re.search(r'version "(\d+)', said.stdout + said.stderr)
    if number is None or int(number.group(1)) < JAVA:
        which = f"is {number.group(1)}" if number else "does not tell its version"
        raise Missing(
            f"Java 17 or newer is needed and {found} {which}: "
            "apt-get install openjdk-17-jdk-headless, or set JAVA_HOME to a newer one"
        )


def require_maven() -> None:
    """Refuse to go on without Maven, which fetches Kafka."""
    if shutil.which("mvn") is None:
        raise Missing("Maven is needed to fetch Kafka and there is none: apt-get install maven")


def main() -> int:
    """Check everything; exit 2 with one line for the first thing missing."""
    try:
        require_python((sys.version_info[0], sys.version_info[1]))
        require_java()
        require_maven()
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
