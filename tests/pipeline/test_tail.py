"""Whether the last checkpoint in a changelog is whole: every way to tear one, and where counting goes on then."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import Position
from pipeline.tail import Tail, Verdict, before, span_of
from pipeline.windows import checksum_of

Row = tuple[bytes, bytes]


def _rows(offset: int, *keys: str) -> list[Row]:
    return [(key.encode(), b'{"plays":1,"offset":%d}' % offset) for key in keys]


def _position(previous: int, offset: int, rows: list[Row], marks: int = 0, **changed: object) -> Position:
    ledger = {"beacons": offset + 1, "unique": offset + 1}
    added = {"beacons": offset - previous, "unique": offset - previous}
    return replace(
        Position(previous, offset, offset * 1000, len(rows), checksum_of(rows), marks, ledger, added, "t"),
        **changed,  # type: ignore[arg-type]
    )


def _read(tail: Tail, rows: list[Row], position: Position | None, marks: int = 0, previous: int = 0) -> Tail:
    for key, value in rows:
        tail.read_row(key, value)
    if marks and position is not None:
        # As two records, and both twice: a torn try of the same batch wrote them too.
        for value, count in ((b"first", marks // 2), (b"rest", marks - marks // 2)) * 2:
            tail.read_seen(b"%d-%d" % (position.previous, position.offset), value, count, 0)
    if position is not None:
        tail.read_position(position)
    return tail


FIRST = _rows(4, "a", "b", "c")
P_FIRST = _position(-1, 4, FIRST, 5)
SECOND = _rows(9, "b", "c", "d")
P_SECOND = _position(4, 9, SECOND, 3)
BEFORE_SECOND = Position(offset=4, time=9000, ledger={"beacons": 5, "unique": 5}, topic="t")


def _two(rows: list[Row] = SECOND, position: Position | None = P_SECOND, marks: int = 3) -> Tail:
    return _read(_read(Tail(), FIRST, P_FIRST, 5), rows, position, marks)


def test_an_empty_changelog_begins_before_the_first_beacon() -> None:
    assert Tail().verdict(None) == Verdict(Position())


def test_nothing_new_in_the_changelog_goes_on_where_the_store_is() -> None:
    assert Tail().verdict(P_FIRST) == Verdict(P_FIRST)


def test_a_whole_last_checkpoint_is_gone_on_from() -> None:
    assert _two().verdict(None) == Verdict(P_SECOND)
    assert _two().verdict(P_FIRST) == Verdict(P_SECOND)


def test_a_checkpoint_without_rows_or_marks_is_whole() -> None:
    empty = _position(4, 9, [])
    assert _two([], empty, 0).verdict(None) == Verdict(empty)


def test_a_lost_row_is_healed_from_the_checkpoint_before() -> None:
    for lost in range(3):
        rows = SECOND[:lost] + SECOND[lost + 1 :]
        assert _two(rows).verdict(None) == Verdict(BEFORE_SECOND, heal_until=9)


def test_all_rows_lost_is_healed() -> None:
    assert _two([]).verdict(None) == Verdict(BEFORE_SECOND, heal_until=9)


def test_a_row_twice_or_another_value_or_order_is_healed() -> None:
    for rows in (SECOND + SECOND[:1], [*SECOND[:2], (b"d", b'{"plays":7,"offset":9}')], SECOND[::-1]):
        assert _two(rows).verdict(None) == Verdict(BEFORE_SECOND, heal_until=9)


def test_rows_that_an_earlier_batch_left_at_the_same_offset_are_not_held_against_the_last_one() -> None:
    # As compaction leaves them where a row was written again, and as a torn try leaves them that was healed to its end.
    left = _rows(9, "y", "z")
    for rows in (SECOND, SECOND[:1], []):
        for previous in (4, 9):
            position = _position(previous, 9, rows)
            assert _two([*left, *rows], position, 0).verdict(None) == Verdict(position)


def test_rows_that_an_earlier_batch_left_stand_for_none_that_the_last_one_lost() -> None:
    for lost in range(3):
        rows = [*_rows(9, "z"), *SECOND[:lost], *SECOND[lost + 1 :]]
        assert _two(rows).verdict(None) == Verdict(BEFORE_SECOND, heal_until=9)


def test_lost_marks_are_healed() -> None:
    for marks in (0, 1, 2):
        assert _two(marks=marks).verdict(None) == Verdict(BEFORE_SECOND, heal_until=9)


def test_marks_that_came_twice_are_no_harm() -> None:
    assert _two(marks=6).verdict(None) == Verdict(P_SECOND)


def test_marks_that_came_twice_stand_for_no_sessions_nor_for_other_marks() -> None:
    for lacks in ({"marks": 4}, {"marks": 6}, {"sessions": 1}):
        position = _position(4, 9, SECOND, **{"marks": 3, **lacks})
        assert _two(position=position, marks=3).verdict(None).heal_until == 9


def test_a_lost_position_row_leaves_rows_that_are_ahead() -> None:
    assert _two(position=None).verdict(None) == Verdict(P_FIRST, heal_until=9)
    assert _two(SECOND[:1], position=None).verdict(None) == Verdict(P_FIRST, heal_until=9)
    assert _read(Tail(), SECOND, None).verdict(P_FIRST) == Verdict(P_FIRST, heal_until=9)
    assert _read(Tail(), FIRST, None).verdict(None) == Verdict(Position(), heal_until=4)


def test_rows_behind_the_last_position_row_are_ahead() -> None:
    tail = _two()
    tail.read_row(b"a", b'{"plays":2,"offset":12}')
    assert tail.verdict(None) == Verdict(P_SECOND, heal_until=12)


def test_a_stray_old_row_inside_the_last_checkpoint_is_healed_to_be_safe() -> None:
    rows = [*SECOND[:1], *_rows(3, "z"), *SECOND[1:]]
    assert _two(rows).verdict(None) == Verdict(BEFORE_SECOND, heal_until=9)


def test_a_stray_old_row_behind_the_last_checkpoint_says_nothing_of_it() -> None:
    tail = _two()
    tail.read_row(b"z", b'{"plays":1,"offset":3}')
    assert tail.verdict(None) == Verdict(P_SECOND)


def test_stray_marks_of_a_later_checkpoint_do_not_hide_a_torn_one() -> None:
    tail = _two(marks=1)
    tail.read_seen(b"9-20", b"stray", 50, 0)
    assert tail.verdict(None) == Verdict(BEFORE_SECOND, heal_until=9)


def test_a_torn_checkpoint_that_a_whole_one_follows_is_past() -> None:
    torn = _read(Tail(), FIRST[:1], P_FIRST, 0)
    assert _read(torn, SECOND, P_SECOND, 3).verdict(None) == Verdict(P_SECOND)


def test_earlier_checkpoints_may_have_lost_rows_to_compaction() -> None:
    compacted = _read(_read(Tail(), FIRST[:1], None), SECOND, P_SECOND, 3)
    assert compacted.verdict(None) == Verdict(P_SECOND)


def test_a_position_row_that_comes_late_is_not_gone_back_to() -> None:
    late = _read(_two(), [], P_FIRST)
    assert late.verdict(None) == Verdict(P_SECOND)
    only_late = _read(Tail(newest=9), FIRST, P_FIRST, 5)
    assert only_late.verdict(P_SECOND) == Verdict(P_SECOND)


def test_the_position_before_a_checkpoint_has_none_of_what_it_added() -> None:
    assert before(P_SECOND) == BEFORE_SECOND
    assert before(P_FIRST) == Position(offset=-1, time=4000, ledger={"beacons": 0, "unique": 0}, topic="t")


_kept = st.lists(st.integers(0, 2), max_size=5)


@given(kept=_kept, marks=st.integers(0, 4), has_position=st.booleans())
def test_a_last_checkpoint_is_whole_or_healed_to_its_end_and_never_gone_on_from_when_torn(
    kept: list[int], marks: int, has_position: bool
) -> None:
    rows = [SECOND[number] for number in kept]
    verdict = _two(rows, P_SECOND if has_position else None, marks).verdict(None)
    # What stands before all of its rows is no part of it: a torn try of it, say.
    is_whole = has_position and kept[-3:] == [0, 1, 2] and marks >= 3
    if is_whole:
        assert verdict == Verdict(P_SECOND)
    elif has_position:
        assert verdict == Verdict(BEFORE_SECOND, heal_until=9)
    else:
        assert verdict == Verdict(P_FIRST, heal_until=9 if rows else -1)


def test_a_torn_checkpoint_that_lost_its_position_row_puts_no_doubt_on_the_one_before() -> None:
    tail = _two()
    tail.read_row(b"a", b'{"plays":2,"offset":12}')
    tail.read_seen(b"9-12", b"seen", 4, 0)
    assert tail.verdict(None) == Verdict(P_SECOND, heal_until=12)


def test_the_span_of_a_batch_is_in_its_key() -> None:
    assert (span_of(b"-1-4"), span_of(b"9-12")) == ((-1, 4), (9, 12))
