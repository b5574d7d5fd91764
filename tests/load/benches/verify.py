"""What `verify` costs over a healthy million of beacons in the whole default catalog, where it must find nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.load import ours, state
from tests.load.benches.worker import UNIT
from tests.load.dataset import Shape
from tests.load.load import same_counts
from tests.load.measure import ContenderFailedError
from tests.load.session import ROOT, Session
from tests.load.table import Row

WHOLE = Shape(sessions=166_667)
QUICK = Shape(sessions=25_000)


def bench(session: Session) -> None:
    (loaded,) = session.loaded(QUICK if session.quick else WHOLE)
    prefix = session.name("verify-")
    state.make_topics(session, prefix)
    counted = session.folder / f"{prefix}counts.json"
    ours.count_on(session, "worker", loaded, {}, prefix, counted)
    if wrong := same_counts(loaded.truth, counted):
        raise ContenderFailedError(f"the worker is wrong: {wrong}")

    began, said = time.monotonic(), session.log(f"{prefix}said")
    with said.open("wb") as out:
        command = [sys.executable, "-m", "pipeline", "verify"]
        verify = subprocess.Popen(command, cwd=ROOT, env=ours.environment(session, prefix), stdout=out, stderr=out)
        _, status, used = os.wait4(verify.pid, 0)
    verify.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
    if verify.returncode or not said.read_text().endswith(": all equal\n"):
        raise ContenderFailedError(f"verify ended with {verify.returncode}: {said.read_text()}")
    per = 1e6 / loaded.beacons
    note = f"{loaded.beacons:,} beacons, {used.ru_maxrss / 1024:.0f} MiB, {wall:.0f} s in all: nothing found"
    session.add(Row("verify", "default catalog", cpu * per, UNIT, f"{wall * per:.1f} µs", note=note))
    ours.forget(session, prefix)
