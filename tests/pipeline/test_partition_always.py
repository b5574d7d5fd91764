"""What holds for every log: one set of beacons, however repeated, ordered, split and crashed through, gives one table.

Invariant here, with receive times fixed and within one dedupe horizon: which of two repeats comes first does not
matter, for repeats are equal in all that counts but their receive time; so repeats of one beacon are given its time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum, auto
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.life import Life, Sent, Table, living, records, ruled, truth
from tests.pipeline.lines import NOON
from tests.pipeline.state_topics import Fault

_sent = st.builds(
    Sent,
    session=st.sampled_from(["a", "b"]),
    index=st.integers(1, 3),
    entry=st.sampled_from(["x", "y", "z"]),
    partner=st.sampled_from(["1", "2"]),
    kind=st.sampled_from([1, 3, 99, 10_002]),
    at=st.just(0.0),
    buffer_ms=st.just(0),
)


def _fixed(sent: Sent) -> Sent:
    """Give an event its one receive time and its one number, however often it is repeated."""
    drawn = random.Random(repr(sent.event))
    at = NOON + drawn.choice([0, 3.5, 9.999, 10, 59.999, 60, 3500, -20])
    return Sent(sent.session, sent.index, sent.entry, sent.partner, sent.kind, at, drawn.randrange(0, 30_000))


_beacons = st.lists(_sent.map(_fixed), min_size=1, max_size=25)


class Step(Enum):
    """What happens between two records."""

    GO_ON = auto()
    CHECKPOINT = auto()
    CRASH = auto()
    CRASH_WIPED = auto()
    CLOSE = auto()
    CHECKPOINT_ABORTED = auto()
    CHECKPOINT_UNKNOWN = auto()
    CRASH_BEFORE_APPLY = auto()
    REPEAT_OLD = auto()
    COMPACTION = auto()


def _repeat_old(life: Life) -> None:
    life.partition.take([(offset, life.log[offset]) for offset in range(life.partition.position + 1)])


_DO: dict[Step, Callable[[Life], object]] = {
    Step.GO_ON: lambda life: None,
    Step.CHECKPOINT: Life.checkpoint,
    Step.CRASH: Life.crash,
    Step.CRASH_WIPED: lambda life: life.crash(wiped=True),
    Step.CLOSE: Life.close,
    Step.CHECKPOINT_ABORTED: lambda life: life.checkpoint(Fault.ABORTED),
    Step.CHECKPOINT_UNKNOWN: lambda life: life.checkpoint(Fault.UNKNOWN),
    Step.CRASH_BEFORE_APPLY: lambda life: life.checkpoint(die_before_apply=True),
    Step.REPEAT_OLD: _repeat_old,
    Step.COMPACTION: lambda life: life.kafka.compact(),
}


def _split(beacons: list[Sent], data: Any) -> list[list[Sent]]:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(beacons)), max_size=6), label="cuts"))
    edges = [0, *cuts, len(beacons)]
    return [part for begin, end in pairwise(edges) if (part := beacons[begin:end])]


def _count(log: list[list[Sent]], steps: list[Step], **rules: Any) -> tuple[Table, dict[str, int]]:
    with living(log, rules=ruled(**rules)) as life:
        for step in steps:
            life.take(1)
            _DO[step](life)
        table = life.finish()
        assert life.stored_table() == table
        return table, life.kafka.position().ledger


@given(beacons=_beacons, data=st.data())
def test_any_order_repetition_split_and_checkpoints_of_one_set_of_beacons_give_one_table(
    beacons: list[Sent], data: Any
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(beacons), max_size=10), label="repeats")
    order = data.draw(st.permutations(beacons + repeats), label="order")
    log = _split(list(order), data)
    steps = data.draw(st.lists(st.sampled_from([Step.GO_ON, Step.CHECKPOINT]), max_size=len(log)), label="steps")
    table, ledger = _count(log, steps)
    assert table == truth([beacons]) == truth(log)
    assert ledger["beacons"] == len(order)
    assert ledger["beacons"] == sum(
        ledger.get(name, 0) for name in ("unique", "duplicates", "unknownTypes", "rejected")
    )


@given(beacons=_beacons, data=st.data(), cache=st.sampled_from([0, 25_000]))
def test_whatever_happens_to_owners_the_table_is_the_truth(beacons: list[Sent], data: Any, cache: int) -> None:
    log = _split(beacons, data)
    steps = data.draw(st.lists(st.sampled_from(Step), max_size=12), label="steps")
    table, ledger = _count(log, steps, cache_rows=cache)
    assert table == truth(log)
    assert ledger["beacons"] == len(beacons)
    assert ledger["beacons"] == sum(
        ledger.get(name, 0) for name in ("unique", "duplicates", "unknownTypes", "rejected")
    )


@given(beacons=_beacons, data=st.data(), bound=st.integers(1, 2))
def test_with_entries_bounded_checkpoints_and_crashes_change_no_row(beacons: list[Sent], data: Any, bound: int) -> None:
    log = _split(beacons, data)
    steps = data.draw(st.lists(st.sampled_from(Step), max_size=12), label="steps")
    plain, _ = _count(log, [], max_entries=bound)
    assert _count(log, steps, max_entries=bound)[0] == plain
    totals = {row: counts for row, counts in plain.items() if row[3] is None}
    assert totals == {row: counts for row, counts in truth(log).items() if row[3] is None}
    for (window, start, partner, _), total in totals.items():
        entries = [c for (w, s, p, e), c in plain.items() if (w, s, p) == (window, start, partner) and e is not None]
        assert len(entries) <= bound + 1
        assert {name: sum(counts.get(name, 0) for counts in entries) for name in total} == total


@given(lines=st.lists(st.binary(max_size=6) | _sent.map(lambda sent: _fixed(sent).line()), max_size=12), data=st.data())
def test_the_ledger_adds_up_whatever_the_lines_are(lines: list[bytes], data: Any) -> None:
    cuts = [data.draw(st.booleans()) for _ in lines]
    with living() as life:
        for line, is_new in zip(lines, cuts, strict=True):
            if is_new or not life.log:
                life.log.append(line)
            else:
                life.log[-1] += b"\n" + line
        life.finish()
        ledger = life.kafka.position().ledger
        written = sum(1 + record.count(b"\n") for record in life.log)
        assert ledger.get("beacons", 0) == written
        outcomes = ("unique", "duplicates", "unknownTypes", "rejected")
        assert sum(ledger.get(name, 0) for name in outcomes) == written
        reasons = sum(number for name, number in ledger.items() if name.startswith("rejected."))
        assert ledger.get("rejected", 0) == reasons == len(life.kafka.letters())


@given(beacons=_beacons, data=st.data())
def test_no_row_ever_decreases_between_two_checkpoints(beacons: list[Sent], data: Any) -> None:
    log = _split(beacons, data)
    steps = data.draw(st.lists(st.sampled_from(Step), min_size=1, max_size=12), label="steps")
    with living(log) as life:
        before: Table = {}
        for step in steps:
            life.take(1)
            _DO[step](life)
            now = life.table()
            for row, counts in before.items():
                assert all(now[row].get(name, 0) >= amount for name, amount in counts.items())
            before = now


def test_a_line_counted_from_its_beginning_again_has_the_same_bytes() -> None:
    log = [[Sent(index=n, entry=f"e{n % 3}", at=NOON + n)] for n in range(30)]
    found = []
    for checkpoints in (30, 1):
        with living(log) as life:
            for _ in range(checkpoints):
                life.take(30 // checkpoints)
            life.checkpoint()
            found.append((life.kafka.logs["windows"], life.kafka.logs["seen"]))
    assert found[0] == found[1]


def test_records_of_the_life_are_lines_joined_by_newlines() -> None:
    assert records([[Sent(), Sent(index=2)]])[0].split(b"\n") == [Sent().line(), Sent(index=2).line()]
