"""Sessions and watched time stand after torn transactions as after whole ones, whatever of `seen` survives, and when.

A session's state says how far it was seen: one that is ahead of its partition keeps beacons from growing anything, one
that is behind has them grow it twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import is_position_key, unpack_seen
from pipeline.catalog import METRICS, SETS, WINDOWS
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.pipeline.followed import followed
from tests.pipeline.life import Life, living
from tests.pipeline.lines import NOON, get_line
from tests.pipeline.state_topics import TOPICS, Record

_COUNTED = ("views", "sessions", "watchedTime")
RULES = Rules(Shape.of(WINDOWS, SETS[:2]), tuple(metric for metric in METRICS if metric.name in _COUNTED))
Rows = dict[bytes, dict[str, int]]


def _beacon(number: int, session: int = 0, after_s: int = 0) -> bytes:
    """Return a view: the session has played 10 s for each of its beacons, one every 30 s."""
    query = (
        f"service=analytics&eventType=99&partnerId=1&entryId=e&sessionId=s{session}&eventIndex={number}"
        f"&playTimeSum={number * 10}&sessionStartTime={NOON}"
    )
    return get_line(query, f"i{session}-{number}", int((NOON + number * 30 + after_s) * 1000))


ONE_SESSION = [_beacon(number) for number in range(1, 13)]
# Of three sessions, one beginning late; every fourth record repeats an earlier one.
LOG = [
    b"\n".join(
        (_beacon(n, n % 2), *([_beacon(n, 2)] if n > 20 else []), *([_beacon(n - 3, n % 2)] if n % 4 == 3 else []))
    )
    for n in range(1, 31)
]


def _counted(life: Life) -> Rows:
    return {key: {name: row.get(name, 0) for name in _COUNTED} for key, row in life.kafka.rows().items()}


def _truth(log: list[bytes]) -> Rows:
    with living(rules=RULES) as life:
        life.log = log
        life.finish()
        return _counted(life)


def _finished(life: Life) -> Rows:
    """Count on from what Kafka alone holds."""
    life.crash(wiped=True)
    life.finish()
    return _counted(life)


def _only_seen(batch: list[Record]) -> list[Record]:
    return [record for record in batch if record[0] == TOPICS.seen]


def _count(life: Life, most: int) -> None:
    life.take(most)
    life.checkpoint()


def _torn(life: Life, most: int, keep: Callable[[list[Record]], list[Record]]) -> list[Record]:
    """Write a checkpoint of which Kafka keeps a part; its owner dies. Return what Kafka does not keep."""
    lost: list[Record] = []

    def tear(batch: list[Record]) -> list[Record]:
        kept = keep(batch)
        lost.extend(record for record in batch if record not in kept)
        return kept

    life.take(most)
    life.kafka.torn = tear
    life.checkpoint()
    return lost


def _nothing(batch: list[Record]) -> list[Record]:
    return []


# -- the tears one by one; each line is one record of `seen`, from the position before it to the one after it


def test_a_torn_checkpoint_of_which_only_seen_survives_keeps_no_session_ahead() -> None:
    #  0 ==2
    #      2 ~~~~~~~~~~7      torn: nothing but this
    #      2 ==3              what its next owner writes, and dies
    with living(rules=RULES) as life:
        life.log = ONE_SESSION
        _count(life, 2)
        _torn(life, 5, _only_seen)
        _count(life, 1)
        assert _finished(life) == _truth(ONE_SESSION)


@pytest.mark.parametrize("kept", [True, False])
def test_seen_of_a_lost_checkpoint_that_comes_late_takes_no_later_one_away(kept: bool) -> None:
    #  0 ==2
    #      2 ==3
    #          3 ==4
    #      2 ~~~~~~~~~~7      comes last
    with living(rules=RULES) as life:
        life.log = ONE_SESSION
        _count(life, 2)
        lost = _torn(life, 5, _nothing)
        _count(life, 1)
        _count(life, 1)
        life.close() if kept else life.crash()
        life.kafka.append(_only_seen(lost))
        life.take(1)
        assert _finished(life) == _truth(ONE_SESSION)


@pytest.mark.parametrize("late_after", [0, 1, 2, 3])
def test_a_late_checkpoint_without_its_position_row_is_counted_once(late_after: int) -> None:
    #  0 ==2
    #      2 ==4 4 ==5 5 ==6
    #      2 ~~~~~~~~~~7      comes between any two of them, or last and with its rows
    with living(rules=RULES) as life:
        life.log = ONE_SESSION
        _count(life, 2)
        lost = [record for record in _torn(life, 5, _nothing) if not is_position_key(record[1])]
        for number, most in enumerate((2, 1, 1)):
            if number == late_after:
                life.kafka.append(_only_seen(lost))
            _count(life, most)
        if late_after == 3:
            life.crash()
            life.kafka.append(lost)
        assert _finished(life) == _truth(ONE_SESSION)


def test_seen_of_a_torn_checkpoint_between_a_whole_one_and_the_next_takes_nothing_from_the_whole_one() -> None:
    #  0 ==2
    #      2 ====4
    #      2 ~~3              of an owner before it, late
    #            4 ==5
    with living(rules=RULES) as life:
        life.log = [*ONE_SESSION, *ONE_SESSION]
        _count(life, 2)
        lost = _torn(life, 1, _nothing)
        _count(life, 2)
        life.kafka.append(_only_seen(lost))
        _count(life, 1)
        assert _finished(life) == _truth(ONE_SESSION)
        assert life.kafka.position().ledger["duplicates"] == len(ONE_SESSION)


def test_a_late_part_of_a_checkpoint_that_a_kept_store_includes_sets_no_session_back() -> None:
    #  0 ==2
    #      2 ====4            in the store
    #      2 ~~3              late
    with living(rules=RULES) as life:
        life.log = ONE_SESSION
        _count(life, 2)
        lost = _torn(life, 1, _nothing)
        _count(life, 2)
        life.close()
        life.kafka.append(_only_seen(lost))
        life.finish()
        assert _counted(life) == _truth(ONE_SESSION)


def test_two_torn_tries_of_one_batch_do_not_pass_for_a_whole_one_together() -> None:
    #  0 ==2
    #      2 ~~~~5            marks, no sessions, nothing of `windows`
    #      2 ~~~~5            marks, no sessions, all of `windows`
    def is_marks(record: Record) -> bool:
        return record[0] == TOPICS.seen and bool(unpack_seen(record[2] or b"")[0])

    with living(rules=RULES) as life:
        life.log = ONE_SESSION
        _count(life, 2)
        _torn(life, 3, lambda batch: [record for record in batch if is_marks(record)])
        _torn(life, 3, lambda batch: [record for record in batch if record[0] == TOPICS.windows or is_marks(record)])
        assert life.partition.position == 1
        assert _finished(life) == _truth(ONE_SESSION)


def test_a_last_checkpoint_that_compaction_makes_look_torn_is_not_lost_to_the_next_one() -> None:
    #  0 ==2
    #      2 ==4
    #          4 ~~6          all but its position row; compaction takes the rows of 2-4 for it
    #      2 ========8        the owner goes back to 2
    with living(rules=RULES) as life:
        life.log = [*ONE_SESSION, *ONE_SESSION]
        _count(life, 2)
        _count(life, 2)
        _torn(life, 2, lambda batch: batch[:-1])
        life.crash(wiped=True)
        life.kafka.compact()
        assert life.partition.position == 1
        _count(life, 6)
        assert _finished(life) == _truth(ONE_SESSION)
        assert life.kafka.position().ledger["duplicates"] == len(ONE_SESSION)


def test_a_copy_waits_out_a_torn_checkpoint_of_which_only_seen_survives() -> None:
    #  0 ==2                  in the copy
    #      2 ~~~~~~~~~~7      torn: nothing but this
    #      2 ==3
    #          3 ======9
    with followed() as (life, follower):
        life.rules, life.log = RULES, ONE_SESSION
        _count(life, 2)
        assert follower.follow()
        _torn(life, 5, _only_seen)
        _count(life, 1)
        assert not follower.follow()
        _count(life, 6)
        assert follower.follow()
        assert follower.copy.position == 8
        follower.take_over()
        life.finish()
        assert _counted(life) == _truth(ONE_SESSION)


# -- any tears


@st.composite
def _tears(draw: Any, batch: list[Record]) -> list[Record]:
    """Draw what survives of a batch: some records, or all of one topic, or of that one some."""
    topics = draw(st.sampled_from([{TOPICS.seen}, {TOPICS.windows}, {TOPICS.seen, TOPICS.windows}]), label="topics")
    lost = draw(st.sets(st.integers(0, len(batch) - 1), max_size=4), label="lost")
    return [record for number, record in enumerate(batch) if record[0] in topics and number not in lost]


TRUTH = _truth(LOG)


@given(data=st.data())
def test_no_tear_and_no_late_seen_changes_a_session(data: Any) -> None:
    with living(rules=RULES) as life:
        life.log = LOG
        lost: list[Record] = []
        for step in data.draw(st.lists(st.sampled_from(["whole", "torn", "late", "cold", "compacted"]), max_size=9)):
            if step in ("whole", "torn"):
                most = data.draw(st.integers(1, 6), label="records")
                if step == "whole":
                    _count(life, most)
                else:
                    lost += _torn(life, most, lambda batch: data.draw(_tears(batch)))
            elif step == "late" and (late := _only_seen(lost)):
                life.close() if data.draw(st.booleans(), label="kept") else life.crash()
                life.kafka.append(data.draw(st.lists(st.sampled_from(late), min_size=1, max_size=4), label="late"))
            elif step == "cold":
                life.crash(wiped=True)
            elif step == "compacted":
                life.kafka.compact()
        assert _finished(life) == TRUTH
