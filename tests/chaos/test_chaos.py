"""Faults of one seed against the whole line, for MINUTES (6): nothing acked is lost, nothing doubled.

`make chaos` is for more minutes: pytest ends a test that takes more than fifteen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

REPO = Path(__file__).parents[2]


def test_no_row_is_wrong_after_every_fault_of_the_matrix() -> None:
    minutes, seed = os.environ.get("MINUTES", "6"), os.environ.get("SEED", "1")
    # A process of its own: it moves into namespaces of its own.
    command = (sys.executable, "-m", "tests.chaos", "--minutes", minutes, "--seed", seed)
    done = subprocess.run(command, cwd=REPO, check=False)
    assert done.returncode == 0, f"again: python -m tests.chaos --minutes {minutes} --seed {seed}"
