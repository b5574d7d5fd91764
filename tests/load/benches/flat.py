"""Whether a beacon's cost stays flat: ten times the entries, sessions, partners, and after 10 million seen marks."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from tests.load import ours, state
from tests.load.benches.worker import UNIT, checked, worker
from tests.load.dataset import Shape
from tests.load.measure import Run
from tests.load.session import Session
from tests.load.table import Goal, Row

BASE = Shape(sessions=30_000)
QUICK = Shape(sessions=10_000)
MARKS = 10_000_000
# The rate of the freshness bench: what a line of this size is meant for.
ARRIVING = 5_000


def bench(session: Session) -> None:
    base = QUICK if session.quick else BASE
    shapes = {
        "base": base,
        "10 × entries": replace(base, entries=10 * base.entries),
        "10 × partners": replace(base, partners=10 * base.partners),
        "10 × sessions": replace(base, sessions=10 * base.sessions),
    }
    contenders: dict[str, Callable[[], Run]] = {}
    for name, shape in shapes.items():
        (loaded,) = session.loaded(shape)
        contenders[name] = functools.partial(worker, session, loaded, ours.JOB)
    marks = MARKS // 20 if session.quick else MARKS
    with_marks = f"after {marks:,} marks"
    contenders[with_marks] = _after_marks(session, base, marks)
    runs = session.alternate(contenders)
    for name, taken in runs.items():
        ratio = None if name == "base" else taken.cpu_us / runs["base"].cpu_us
        goal, of = (None, "") if ratio is None else (Goal(at_most=1.3), "base")
        note = f"{taken.beacons:,} beacons, {taken.peak_mib:.0f} MiB"
        session.add(Row("flat", name, taken.cpu_us, UNIT, f"{taken.wall_us:.1f} µs", ratio, of, goal, note))
    rate = 1e6 / runs["base"].wall_us
    note = f"a pause of 60 s at {ARRIVING:,}/s is over after {60 * ARRIVING / (rate - ARRIVING):.0f} s"
    of, goal = f"{ARRIVING:,}/s", Goal(at_least=5)
    session.add(Row("flat", "backlog worked off", rate, "beacons/s", "", rate / ARRIVING, of, goal, note))


def _after_marks(session: Session, shape: Shape, marks: int) -> Callable[[], Run]:
    """Return runs on top of a state that holds so many marks, each with beacons of its own, the store kept."""
    session.say(f"writing {marks:,} marks")
    prefix = session.name("marks-")
    state.write(session, prefix, state.no_rows, marks, session.started_ms)
    ours.ready(session, prefix, ours.JOB)
    truth: dict[str, list[int]] = {}
    turns = count()

    def run() -> Run:
        (loaded,) = session.loaded(replace(shape, seed=shape.seed + 1 + next(turns)))
        for key, row in json.loads(loaded.truth.read_bytes()).items():
            truth[key] = [a + b for a, b in zip(truth.get(key, [0, 0, 0]), row, strict=True)]
        expected = session.folder / f"{prefix}truth.json"
        expected.write_text(json.dumps(truth))
        return checked(session, lambda out: ours.count_on(session, "worker", loaded, ours.JOB, prefix, out), expected)

    return run
