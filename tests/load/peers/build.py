"""Builds the peers that need more than our own environment, once, into build/."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

from tests.load.session import BUILD

QUIX = "quixstreams==3.28.1"
CRAMJAM = "cramjam==2.14.0"


@functools.cache
def streams() -> Path:
    """Return the folder with the Kafka Streams peer's classes and jars, built by Maven."""
    folder = BUILD / "streams"
    pom = Path(__file__).parent / "streams" / "pom.xml"
    subprocess.run(["mvn", "-q", "-f", str(pom), "package"], check=True)
    return folder


@functools.cache
def quix() -> Path:
    """Return the Python of the environment that holds Quix Streams; its pins are not ours."""
    python = BUILD / "quix" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", QUIX, "orjson"], check=True)
    return python


@functools.cache
def lz4() -> Path:
    """Return a folder for PYTHONPATH with what aiokafka reads and writes lz4 by; our worker does without."""
    folder = BUILD / "lz4"
    if not (folder / "cramjam").exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), CRAMJAM], check=True)
    return folder
