"""One ingest whose clock is far ahead: its beacons count where it says, and change nothing for the others."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import METRICS, SETS, WINDOWS
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.pipeline.life import Sent, living, records, ruled
from tests.pipeline.lines import NOON
from tests.pipeline.state_topics import Fault

DAY_S = 86_400
SESSIONS = tuple(metric for metric in METRICS if metric.name in ("sessions", "audience"))

# NOON                      the line's own time, by this machine's clock       2 days ahead       a year ahead
# |---- events of all, 0 to 40 s apart ----|                                   |--- a few ---|    |--- a few ---|
_sent = st.builds(
    Sent,
    session=st.sampled_from(["a", "b"]),
    index=st.integers(1, 1_000),
    entry=st.sampled_from(["x", "y"]),
    kind=st.sampled_from([3, 99]),
    at=st.builds(
        lambda later_s, ahead_s: NOON + later_s + ahead_s,
        st.integers(0, 40),
        st.sampled_from([0, 0, 0, 0, 2 * DAY_S, 365 * DAY_S]),
    ),
)
LOGS = st.lists(_sent, min_size=2, max_size=16, unique_by=lambda sent: sent.index)


def plain(log: list[Sent]) -> dict[tuple[str, int, str | None], tuple[int, int]]:
    """Return sessions and audience of every row, by sets of who was there."""
    seen: dict[tuple[str, int, str | None], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for sent in log:
        for window in WINDOWS:
            for entry in (None, sent.entry):
                there, watched = seen[window.name, int(sent.at) // window.seconds * window.seconds, entry]
                there.add(sent.session)
                watched.update([sent.session] if sent.kind == 99 else [])
    return {row: (len(there), len(watched)) for row, (there, watched) in seen.items()}


@given(log=LOGS, data=st.data())
def test_sessions_count_once_in_every_row_however_the_log_is_split(log: list[Sent], data: Any) -> None:
    # As long as the session is in memory: read again, what it did a day or more apart is of two states.
    with living(rules=Rules(Shape.of(WINDOWS, SETS[:2]), SESSIONS)) as life:
        life.log = records([[sent] for sent in log])
        for _ in range(data.draw(st.integers(0, 8), label="steps")):
            life.take(data.draw(st.integers(0, 4), label="records"))
            if data.draw(st.booleans(), label="write"):
                life.checkpoint(Fault.NONE, False)
        life.finish()
        found = {}
        for key, counts in life.kafka.rows().items():
            words = orjson.loads(key)
            row = words["window"], words["start"], words.get("entryId")
            found[row] = counts.get("sessions", 0), counts.get("audience", 0)
        assert found == plain(log)


def test_marks_are_forgotten_in_time_after_a_beacon_a_year_ahead() -> None:
    with living([[Sent(at=NOON + 365 * DAY_S)]], rules=ruled(dedupe_horizon_s=DAY_S)) as life:
        life.log += records([[Sent(session=str(day), at=NOON + day * DAY_S)] for day in range(10)])
        life.take(1)
        life.checkpoint()
        for day in range(10):
            life.now_s = NOON + day * DAY_S + 1
            life.take(1)
            life.checkpoint()
        # Those of yesterday and today, and of the beacon that was ahead.
        assert len(life.store._marks.epochs) == 3
