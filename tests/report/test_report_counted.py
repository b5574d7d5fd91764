"""countedThrough: right when idle, and still while anything acknowledged is uncounted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.counted import MOST_QUESTIONS, Counted, Question, promise, question
from pipeline.report.record import Position


def at(**offsets: int) -> dict[int, Position]:
    return {int(p[1:]): Position(int(p[1:]), offset, 0, {}, "t") for p, offset in offsets.items()}


def asked(
    time: int, ends: dict[int, int], held: dict[str, int] | None = None, first: dict[int, int] | None = None
) -> Question:
    return question(time, first or {}, ends, held or {}, "t")


def test_it_moves_on_while_nothing_is_sent() -> None:
    #  ask 1000 (end 5) -> counted up to 4 -> 1000;  ask 2000 (end 5 still) -> 2000
    counted = Counted()
    counted.ask(asked(1000, {0: 5}))
    assert counted.answer(at(p0=3)) is None
    assert counted.answer(at(p0=4)) == 1000
    counted.ask(asked(2000, {0: 5}))
    assert counted.answer(at(p0=4)) == 2000


def test_it_stands_still_while_one_partition_is_uncounted() -> None:
    counted = Counted()
    counted.ask(asked(1000, {0: 5, 1: 5}))
    assert counted.answer(at(p0=4, p1=4)) == 1000
    counted.ask(asked(2000, {0: 9, 1: 5}))
    counted.ask(asked(3000, {0: 9, 1: 6}))
    assert counted.answer(at(p0=7, p1=5)) == 1000
    assert counted.answer(at(p0=8, p1=4)) == 2000
    assert counted.answer(at(p0=8, p1=5)) == 3000


def test_an_ingest_with_a_spool_or_none_to_be_heard_holds_it() -> None:
    #  ingest a is alive, b spooled a beacon at 1500, c was last heard at 1200
    counted = Counted()
    counted.ask(asked(5000, {0: 1}, {"a": 4900, "b": 1500}))
    assert counted.answer(at(p0=0)) == 1500
    counted.ask(asked(6000, {0: 1}, {"a": 5900, "b": 5950, "c": 1200}))
    assert counted.answer(at(p0=0)) == 1200
    assert asked(6000, {}, {"a": 5900, "c": 500}).holding() == "c"
    assert asked(6000, {}, {"a": 5900, "c": 5800}).holding() is None


def test_an_empty_partition_wants_nothing_and_another_topic_is_never_reached() -> None:
    assert asked(1, {0: 0, 1: 7}, first={1: 7}).wanted == {}
    elsewhere = {0: Position(0, 100, 0, {}, "another")}
    assert asked(1, {0: 5}).satisfied(elsewhere) is False
    assert asked(1, {0: 5}).behind(at(p0=2)) == 2
    assert asked(1, {0: 5, 1: 2}).behind({}) == 7
    assert asked(1, {0: 5, 1: 2}).lags(at(p0=7)) == {0: 0, 1: 2}


def test_a_promise_is_read_or_is_none() -> None:
    assert promise(b'{"time":5,"pendingSince":null}') == 5
    assert promise(b'{"time":5,"pendingSince":3}') == 3
    assert [promise(b"{}"), promise(b"x"), promise(b"[1]"), promise(b'{"time":null,"pendingSince":null}')] == [None] * 4


def test_questions_without_an_answer_are_bounded_and_the_newest_stays() -> None:
    counted = Counted()
    for time in range(3 * MOST_QUESTIONS):
        counted.ask(asked(time, {0: 10}))
    assert len(counted._open) <= MOST_QUESTIONS + 1
    assert counted.answer(at(p0=9)) == 3 * MOST_QUESTIONS - 1


steps = st.lists(st.one_of(st.tuples(st.just("send"), st.integers(0, 1)), st.tuples(st.just("ask"), st.just(0)),
                           st.tuples(st.just("count"), st.integers(0, 1))), max_size=60)  # fmt: skip


@given(steps)
def test_whatever_the_order_it_never_says_more_than_is_counted(order: list[tuple[str, int]]) -> None:
    """Every beacon sent before countedThrough is counted; when all is counted the next question says so."""
    counted, sent, done, clock = Counted(), {0: [], 1: []}, {0: -1, 1: -1}, 0
    for what, part in order:
        clock += 1
        if what == "send":
            sent[part].append(clock)
        elif what == "ask":
            counted.ask(asked(clock, {p: len(times) for p, times in sent.items()}))
        elif done[part] + 1 < len(sent[part]):
            done[part] += 1
        through = counted.answer({p: Position(p, offset, 0, {}, "t") for p, offset in done.items()}) or 0
        for p, times in sent.items():
            assert all(time >= through for time in times[done[p] + 1 :])
    counted.ask(asked(clock + 1, {p: len(times) for p, times in sent.items()}))
    everything = {p: Position(p, len(times) - 1, 0, {}, "t") for p, times in sent.items()}
    assert counted.answer(everything) == clock + 1
