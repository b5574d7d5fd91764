"""What the report's page needs on one machine: its chart library, and a key to sign in with."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from deploy.local.kafka import LIB

# uPlot as its WebJar ships it: Maven fetched it with Kafka, under the same checksums.
FILES = ("uPlot.iife.min.js", "uPlot.min.css")
ASSETS = LIB.parent.parent / "assets"


def unpack_assets() -> Path:
    """Unpack the chart library into build/assets, and return that folder."""
    jars = sorted(LIB.glob("uplot-*.jar"))
    ASSETS.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(jars[-1]) as jar:
        for name in jar.namelist():
            if Path(name).name in FILES:
                (ASSETS / Path(name).name).write_bytes(jar.read(name))
    return ASSETS


def demo_key(folder: Path) -> str:
    """Return the operator's key of this folder, made at the first start; readable by its owner only."""
    held, keys = folder / "demo-key", folder / "keys.json"
    if not (held.exists() and keys.exists()):
        create = (sys.executable, "-m", "pipeline", "keys", "--file", str(keys), "create", "--operator")
        made = subprocess.run((*create, "--note", "demo"), check=True, capture_output=True, text=True).stdout
        with os.fdopen(os.open(held, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(made.split()[-1] + "\n")
    return held.read_text().strip()
