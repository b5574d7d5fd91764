"""`python -m deploy.grafana`: writes operators.json and playback.json beside this file."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.operators import operators
from deploy.grafana.playback import playback

FOLDER = Path(__file__).parent


def written() -> dict[Path, str]:
    """Return every dashboard's file and what is to be in it."""
    dashboards = {"operators.json": operators(), "playback.json": playback()}
    return {FOLDER / name: json.dumps(one, indent=1) + "\n" for name, one in dashboards.items()}


if __name__ == "__main__":
    for file, text in written().items():
        file.write_text(text)
