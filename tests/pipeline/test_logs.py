"""One event is one line, for people and for collectors, and single beacons fill no log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
# Trips over 100 beacons at once, and over one more a second later by the filter's clock.
SAYS = """
import logging, sys
from pipeline.logs import set_up_logs
set_up_logs(sys.argv[1])
log = logging.getLogger("pipeline.partition")
[only] = log.filters
only._clock = lambda: now
for now in [5.0] * 100 + [6.0]:
    try:
        raise ValueError("of two\\nlines")
    except ValueError:
        log.exception("reading a beacon failed")
logging.getLogger("pipeline.owner").warning("something else")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_an_exception_is_one_line_and_many_of_them_are_held_back(log_format: str) -> None:
    done = subprocess.run(
        (sys.executable, "-c", SAYS, log_format), cwd=REPO, capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 10 + 1 + 1
    assert all("reading a beacon failed" in line and "ValueError" in line for line in lines[:11])
    assert "(90 more lines were held back)" in lines[10]
    assert "something else" in lines[11]
    if log_format == "json":
        assert [json.loads(line)["logger"] for line in lines] == ["pipeline.partition"] * 11 + ["pipeline.owner"]
