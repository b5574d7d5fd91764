"""The checkers themselves: installed once, whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.manifests import checkers

# Fails where another of it is at work, as an installation into one folder does.
ALONE = """#!/bin/sh
set -eu
mkdir "$0.busy"
echo >>"$0.ran"
sleep 0.2
rmdir "$0.busy"
"""


def test_processes_that_test_side_by_side_install_one_after_another(tmp_path: Path) -> None:
    script = tmp_path / "install"
    script.write_text(ALONE)
    script.chmod(0o755)
    with ThreadPoolExecutor(4) as side_by_side:
        for done in [side_by_side.submit(checkers.install, script, tmp_path / "lock") for _ in range(4)]:
            done.result()
    assert (tmp_path / "install.ran").read_text() == "\n" * 4
