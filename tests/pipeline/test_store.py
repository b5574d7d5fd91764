"""The store: atomic, found by place and time, forgetful only of what is past its time."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import Batch, Position
from pipeline.catalog import WINDOWS
from pipeline.store import Store, Stored, row_place, row_place_of
from tests.pipeline.life import folder
from tests.pipeline.lines import NOON
from tests.pipeline.store_parts import HORIZON_S, apply_to, batch_of, mark_of, row_of


def test_a_new_store_is_empty(store: Store) -> None:
    assert (store.stored(), list(store.all_rows()), store.marks([b"a" * 16], NOON, NOON)) == (Stored(), [], {})
    assert store.rows([]) == []


def test_a_checkpoint_is_there_with_all_its_parts(store: Store) -> None:
    batch = batch_of([row_of(), row_of(partner="2")], [mark_of("a"), mark_of("b", 2)], offset=7)
    apply_to(store, batch, {"windows": 12, "seen": 3})
    assert store.stored() == Stored(batch.position, {"windows": 12, "seen": 3})
    assert sorted(store.all_rows()) == sorted(batch.rows)
    assert store.marks([mark[0] for mark in batch.marks], NOON, NOON) == {
        digest: (place, time_s) for digest, place, time_s in batch.marks
    }


def test_a_checkpoint_of_which_a_part_cannot_be_written_leaves_nothing(store: Store) -> None:
    apply_to(store, batch_of([row_of(plays=1)], offset=1))
    bad = batch_of([row_of(plays=2)], [mark_of("a"), (b"b" * 16, -1, NOON)], offset=2)
    with pytest.raises(Exception, match="argument"):
        apply_to(store, bad)
    assert store.stored().position == Position(offset=1, ledger={"beacons": 1})
    assert list(store.all_rows()) == [row_of(plays=1)]
    assert store.marks([mark_of("a")[0]], NOON, NOON) == {}


def test_places_and_rows_that_do_not_match_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="zip"):
        store.apply(batch_of([row_of()]), [], {})
    assert list(store.all_rows()) == []


def test_expired_rows_are_gone(store: Store) -> None:
    apply_to(store, batch_of([row_of(), row_of(start=NOON + 10)]))
    apply_to(store, batch_of(expired=[row_of()[0]]))
    assert [key for key, _ in store.all_rows()] == [row_of(start=NOON + 10)[0]]


def test_rows_are_found_by_place_and_missing_ones_are_none(store: Store) -> None:
    apply_to(store, batch_of([row_of(), row_of(window=2, start=NOON - 420)]))
    asked = [
        (10, NOON, row_of()[0]),
        (60, NOON, row_of(window=1)[0]),
        (3600, NOON - 420, row_of(window=2, start=NOON - 420)[0]),
    ]
    assert store.rows(asked) == [row_of()[1], None, row_of()[1]]
    assert (store.row(row_of()[0]), store.row(row_of(partner="9")[0])) == (row_of()[1], None)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 20).map(lambda n: n * 3600), st.sampled_from(["1", "2"])),
        unique=True,
        max_size=12,
    ),
    before=st.integers(0, 21).map(lambda n: n * 3600),
    most=st.integers(0, 5),
)
def test_the_oldest_rows_of_a_window_come_first_and_no_others(
    rows: list[tuple[int, int, str]], before: int, most: int
) -> None:
    with folder() as base:
        store = Store(base / "s", HORIZON_S)
        apply_to(store, batch_of([row_of(start, partner, window) for window, start, partner in rows]))
        for window in range(3):
            old = sorted((start, row_of(start, partner, window)[0]) for of, start, partner in rows if of == window)
            wanted = [key for start, key in old if start < before][:most]
            assert store.oldest_rows(WINDOWS[window].seconds, before, most) == wanted
        store.close()


@given(
    window=st.integers(0, 2),
    start=st.integers(0, 2**40),
    partner=st.sampled_from(["1", "", ',\\"set\\":', "}", '{\\"window\\":\\"1h\\",\\"start\\":5,\\"set\\":']),
)
def test_where_a_row_lies_is_told_by_its_key_whatever_its_dimensions_say(window: int, start: int, partner: str) -> None:
    key = row_of(start, partner, window)[0]
    words = orjson.loads(key)
    assert words["set"] == "partner"
    assert row_place(key) == row_place_of(WINDOWS[window].seconds, words["start"], key)


def test_rows_and_marks_do_not_run_into_each_other(store: Store) -> None:
    apply_to(store, batch_of([row_of(window=2, start=NOON - 420)], [mark_of("a"), mark_of("z", time_s=4_102_444_799)]))
    assert store.oldest_rows(3600, 2**40, 10) == [row_of(window=2, start=NOON - 420)[0]]
    assert len(list(store.all_rows())) == 1
    assert row_place_of(10, 1, b"k") < row_place_of(10, 256, b"") < row_place_of(60, 0, b"")


# -- marks and the horizon
#
#   epoch 0          epoch 1          epoch 2
#   |----------------|----------------|----------------|
#   a mark counts for one horizon, so it may be wanted in the next epoch, and (late beacons) in the one before


def test_marks_are_found_within_a_horizon_of_what_is_asked(store: Store) -> None:
    begin = NOON // HORIZON_S * HORIZON_S
    marks = [mark_of(str(n), time_s=begin + n * HORIZON_S) for n in range(5)]
    apply_to(store, batch_of(marks=marks))
    found = store.marks([mark[0] for mark in marks], begin + 2 * HORIZON_S, begin + 2 * HORIZON_S)
    assert set(found) == {mark[0] for mark in marks[1:4]}
    found = store.marks([mark[0] for mark in marks], begin + HORIZON_S, begin + 3 * HORIZON_S)
    assert set(found) == {mark[0] for mark in marks}


def test_of_two_marks_of_one_identity_the_later_counts(store: Store) -> None:
    first, later = mark_of("a", 1, NOON), mark_of("a", 2, NOON + HORIZON_S)
    apply_to(store, batch_of(marks=[first]))
    apply_to(store, batch_of(marks=[later]))
    assert store.marks([first[0]], NOON + HORIZON_S, NOON + HORIZON_S) == {first[0]: later[1:]}


@pytest.mark.parametrize("reopened", [False, True])
def test_marks_are_forgotten_by_epochs_that_no_horizon_reaches(path: Path, reopened: bool) -> None:
    begin = NOON // HORIZON_S * HORIZON_S
    store = Store(path, HORIZON_S)
    marks = [mark_of(str(n), time_s=begin + n * HORIZON_S) for n in range(4)]
    apply_to(store, batch_of(marks=marks))
    if reopened:
        store.close()
        store = Store(path, HORIZON_S)
    held = []
    for now in (begin + HORIZON_S, begin + 2 * HORIZON_S - 1, begin + 2 * HORIZON_S, begin + 4 * HORIZON_S):
        store.drop_before(now)
        held.append(len(store.marks([mark[0] for mark in marks], begin, begin + 3 * HORIZON_S)))
    assert held == [4, 4, 3, 1]
    store.close()


def test_a_mark_that_comes_late_into_a_forgotten_epoch_is_kept_until_the_next_time(store: Store) -> None:
    apply_to(store, batch_of(marks=[mark_of("a", time_s=NOON)]))
    # As after every checkpoint.
    store.drop_before(NOON)
    store.drop_before(NOON + 3 * HORIZON_S)
    apply_to(store, batch_of(marks=[mark_of("b", time_s=NOON)]))
    assert set(store.marks([mark_of("a")[0], mark_of("b")[0]], NOON, NOON)) == {mark_of("b")[0]}


@pytest.mark.parametrize("way", ["running", "reopened", "replayed"])
def test_marks_that_come_when_they_are_old_already_are_kept_for_a_horizon_from_then_on(path: Path, way: str) -> None:
    #   mark's time      3 horizons later: it comes      4 horizons: kept still      over: forgotten
    came = (NOON // HORIZON_S + 3) * HORIZON_S
    store, old = Store(path, HORIZON_S), mark_of("old", time_s=NOON)
    position = Position(offset=1, time=came * 1000)
    if way == "replayed":
        store.restore({}, [old])
        store.restored(position, {})
    else:
        store.apply(Batch([], [], [old], [], [], position), [], {})
    if way == "reopened":
        store.close()
        store = Store(path, HORIZON_S)
    held = []
    for now in (came, came + HORIZON_S - 1, came + HORIZON_S):
        store.drop_before(now)
        held.append(len(store.marks([old[0]], NOON, NOON)))
    assert held == [1, 1, 0]
    store.close()


@pytest.mark.parametrize("way", ["running", "replayed"])
def test_one_beacon_of_a_clock_a_year_ahead_makes_no_other_marks_old(path: Path, way: str) -> None:
    #   the line's own time: a year ahead from the first checkpoint on; as far as this machine agrees: one horizon each
    ahead, store = Position(offset=1, time=(NOON + 365 * 86_400) * 1000), Store(path, HORIZON_S)
    for number in range(10):
        now, marks = NOON + number * HORIZON_S, [mark_of(str(number), time_s=NOON + number * HORIZON_S)]
        if way == "replayed":
            store.restore({}, marks)
            store.restored(ahead, {})
        else:
            store.apply(Batch([], [], marks, [], [], ahead), [], {})
        store.drop_before(now)
    assert len(store._marks.epochs) == 2
    store.close()


def test_a_session_that_a_clock_far_ahead_saw_is_found_by_its_next_event_and_in_time(store: Store) -> None:
    times = {"past": NOON - 9 * HORIZON_S, "now": NOON, "ahead": NOON + 48 * HORIZON_S}
    states = {name.encode().ljust(8): (time_s, name.encode()) for name, time_s in times.items()}
    store.restore({}, [], [(digest, *state) for digest, state in states.items()])
    assert set(store.sessions(list(states), NOON, NOON).values()) == {b"now", b"ahead"}
    assert set(store.sessions(list(states), NOON + 48 * HORIZON_S, NOON + 48 * HORIZON_S).values()) == {b"ahead"}
