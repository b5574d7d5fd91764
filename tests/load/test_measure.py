"""A contender that fails is said to have failed, and holds the others up for a while at most."""

from __future__ import annotations

import sys

import pytest

from tests.load.measure import MOST_SECONDS, ContenderFailedError, run

COUNTS = "print('beacons 1', flush=True); print('beacons 3', flush=True); print('end 5', flush=True)"
HANGS = "import signal; print('beacons 1', flush=True); signal.sigwait({signal.SIGUSR1})"
BREAKS = "print('beacons 1', flush=True); raise SystemExit(3)"


def test_a_contender_is_measured_from_its_first_warm_mark_to_its_end() -> None:
    taken = run("counts", [sys.executable, "-c", COUNTS], 2)
    assert (taken.name, taken.beacons) == ("counts", 2)


@pytest.mark.parametrize(("does", "most_seconds", "code"), [(HANGS, 2, -9), (BREAKS, MOST_SECONDS, 3)])
def test_one_that_hangs_or_breaks_has_failed(does: str, most_seconds: float, code: int) -> None:
    with pytest.raises(ContenderFailedError, match=f"ended with {code} before its end line"):
        run("contender", [sys.executable, "-c", does], 0, most_seconds=most_seconds)
