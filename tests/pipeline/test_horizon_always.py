"""What a repeat is does not depend on where checkpoints, records and crashes cut a log, however its times jump."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.recount import Range, Recount
from tests.pipeline.life import Life, Sent, ledger_of, living, plays_of, ruled
from tests.pipeline.lines import NOON

HORIZON_S = 60
RULES = ruled(dedupe_horizon_s=HORIZON_S)
# No clock here gets far: no mark is forgotten, so that what counts is what a log alone says.
EARLY = {"now_s": float(HORIZON_S), "rules": RULES}


def _plays(log: list[Sent]) -> dict[int, int]:
    """Return plays by 10 s window, by a reading of its own: what counts keeps its neighbours from counting."""
    counted: dict[object, list[int]] = {}
    plays: Counter[int] = Counter()
    for sent in log:
        second, before = int(sent.at), counted.setdefault(sent.event, [])
        if all(abs(second - other) >= HORIZON_S for other in before):
            before.append(second)
            plays[second - second % 10] += 1
    return dict(plays)


def _cut(life: Life, how: str) -> None:
    if how == "checkpoint":
        life.checkpoint()
    elif how == "crash":
        life.crash(wiped=True)
    elif how == "under way" and life.partition.is_dirty:
        # Its checkpoint is on its way to Kafka while the next records are folded.
        batch, places = life.partition.prepare("topic-1", life.now_s)
        life.take(1)
        life.write(batch, places)


#           2 horizons ago             now  a second later
# one ............................... counts
# two ........ counts
# three ..................................... repeats one
@pytest.mark.parametrize("hows", [["", ""], ["checkpoint", "checkpoint"], ["", "checkpoint"], ["checkpoint", ""]])
def test_an_old_sighting_between_two_of_now_does_not_hide_the_first(hows: list[str]) -> None:
    log = [Sent(at=NOON), Sent(at=NOON - 2 * HORIZON_S), Sent(at=NOON + 1)]
    with living([[sent] for sent in log], **EARLY) as life:
        for how in hows:
            life.take(1)
            _cut(life, how)
        life.finish()
        assert plays_of(life) == _plays(log) == {NOON: 1, NOON - 2 * HORIZON_S: 1}
        assert ledger_of(life)["duplicates"] == 1


_log = st.lists(
    st.builds(Sent, index=st.integers(1, 2), at=st.integers(-200, 200).map(lambda second: float(NOON + second))),
    min_size=1,
    max_size=14,
)


@given(log=_log, data=st.data())
def test_any_split_of_a_log_whose_times_jump_over_the_horizon_gives_one_table(log: list[Sent], data: Any) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(log)), max_size=8), label="records"))
    parts = [log[begin:end] for begin, end in pairwise([0, *cuts, len(log)]) if begin < end]
    with living(parts, **EARLY) as life:
        while life.partition.position < len(parts) - 1:
            life.take(data.draw(st.integers(1, 4), label="taken at once"))
            _cut(life, data.draw(st.sampled_from(["", "checkpoint", "under way", "crash"]), label="then"))
        life.finish()
        assert plays_of(life) == _plays(log)
        recount = Recount(RULES, Range(0, 4_000_000_000))
        for record in life.log:
            recount.take(record)
        assert recount.outcomes["duplicates"] == ledger_of(life).get("duplicates", 0) == len(log) - _count_of(log)


def _count_of(log: list[Sent]) -> int:
    """Return how many beacons of a log count."""
    return sum(_plays(log).values())
