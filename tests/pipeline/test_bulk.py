"""Many marks or rows go into the store as a sorted file: it then holds what a write batch would have put there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import store as store_module
from pipeline.batch import Mark, Position, SessionState, pack_marks
from pipeline.bulk import entries_by_epoch
from pipeline.store import Store, Stored
from tests.pipeline.life import folder
from tests.pipeline.lines import NOON
from tests.pipeline.store_parts import HORIZON_S, mark_of, row_of

# Some share all bytes but the last, some none: both lie in one bucket, or in none together.
DIGESTS = [b"." * 15 + bytes([n]) for n in (0, 1, 255)] + [bytes([n]) * 16 for n in (0, 46, 109, 255)]
marks = st.tuples(
    st.sampled_from(DIGESTS) | st.binary(min_size=16, max_size=16),
    st.integers(0, 2**64 - 1),
    st.integers(NOON - 2 * HORIZON_S, NOON + 2 * HORIZON_S) | st.sampled_from([0, 2**32 - 1]),
)


@pytest.fixture(autouse=True)
def _one_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MANY_MARKS", 1)
    monkeypatch.setattr(store_module, "MANY_ROWS", 1)


def _held(store: Store) -> tuple[dict[bytes, bytes], list[int], set[int]]:
    entries = {key: value for key, value in store._db.items() if key != b"p"}
    return entries, sorted(store._marks.epochs), store._came


def _files(store: Store) -> int:
    return len(store._db.live_files())


@given(chunks=st.lists(st.lists(st.lists(marks, max_size=30), max_size=4), max_size=4))
def test_a_store_holds_the_same_marks_whether_they_came_in_files_or_in_write_batches(
    chunks: list[list[list[Mark]]],
) -> None:
    with folder() as base:
        sorted_in, written = Store(base / "files", HORIZON_S), Store(base / "batches", HORIZON_S)
        for records in chunks:
            sorted_in.restore_marks([pack_marks(record) for record in records])
            written.restore({}, [mark for record in records for mark in record])
            assert _held(sorted_in) == _held(written)
        held = _held(written)
        sorted_in.restored(None, {})
        sorted_in.close()
        again = Store(base / "files", HORIZON_S)
        assert _held(again) == held
        again.close()
        written.close()


@given(
    chunks=st.lists(
        st.dictionaries(
            st.tuples(st.integers(0, 2), st.sampled_from([NOON, NOON + 60, 0]), st.sampled_from(["1", "2", "10"])),
            st.none() | st.integers(0, 9),
            max_size=12,
        ),
        max_size=5,
    ),
    filed=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_the_last_version_of_a_row_or_its_deletion_stands_whichever_way_each_came(
    chunks: list[dict[tuple[int, int, str], int | None]], filed: list[bool]
) -> None:
    truth: dict[bytes, bytes] = {}
    with folder() as base, pytest.MonkeyPatch.context() as patch:
        store = Store(base / "s", HORIZON_S)
        for chunk, is_filed in zip(chunks, filed, strict=False):
            patch.setattr(store_module, "MANY_ROWS", 1 if is_filed else 1000)
            rows: dict[bytes, bytes | None] = {}
            for (window, start, partner), plays in chunk.items():
                key, value = row_of(start, partner, window, plays or 0)
                rows[key] = None if plays is None else value
                truth.pop(key, None)
            store.restore(rows, [])
            truth |= {key: value for key, value in rows.items() if value is not None}
            assert dict(store.all_rows()) == truth
        store.close()
        again = Store(base / "s", HORIZON_S)
        assert dict(again.all_rows()) == truth
        again.close()


def test_thousands_of_marks_of_all_beginnings_are_found_again(store: Store) -> None:
    many = [(n.to_bytes(2, "big") * 8, n << 16, NOON + n % 7 * 600) for n in range(0, 65_536, 13)]
    store.restore_marks([pack_marks(many[:3000]), pack_marks(many[3000:])])
    found = store.marks([mark[0] for mark in many], NOON - HORIZON_S, NOON + 2 * HORIZON_S)
    assert found == {digest: (place, time_s) for digest, place, time_s in many}


@pytest.mark.parametrize("ways", ["ff", "fb", "bf"])
def test_of_two_marks_of_one_identity_the_one_that_came_later_counts_whichever_way_each_came(
    store: Store, ways: str
) -> None:
    # The second one is the lesser by place: it is the order in which they came that counts.
    for way, mark in zip(ways, [mark_of("a", 9), mark_of("a", 2)], strict=True):
        if way == "f":
            store.restore_marks([pack_marks([mark, mark_of("b")])])
        else:
            store.restore({}, [mark])
    assert store.marks([mark_of("a")[0]], NOON, NOON) == {mark_of("a")[0]: mark_of("a", 2)[1:]}


def test_a_file_of_marks_leaves_rows_and_sessions_as_they_are(store: Store) -> None:
    sessions: Sequence[SessionState] = [(b"s" * 8, NOON, b"state")]
    store.restore(dict([row_of()]), [], sessions)
    store.restore_marks([pack_marks([mark_of("a")])])
    assert (list(store.all_rows()), store.sessions([b"s" * 8], NOON, NOON)) == ([row_of()], {b"s" * 8: b"state"})


def test_marks_that_came_in_a_file_are_forgotten_with_their_epoch(store: Store) -> None:
    store.restore_marks([pack_marks([mark_of("a"), mark_of("b", time_s=NOON + 3 * HORIZON_S)])])
    # They came late, so they are kept for a horizon first: see test_store.
    for later in (3, 4):
        store.drop_before(NOON + later * HORIZON_S)
    assert set(store.marks([mark_of("a")[0], mark_of("b")[0]], NOON, NOON + 3 * HORIZON_S)) == {mark_of("b")[0]}


def test_few_marks_make_no_file_of_their_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MANY_MARKS", 3)
    store.restore_marks([pack_marks([mark_of("a")]), pack_marks([mark_of("b")])])
    assert _files(store) == 0
    store.restore_marks([pack_marks([mark_of("c"), mark_of("d")]), pack_marks([mark_of("e")])])
    assert _files(store) == 1
    assert len(store.marks([mark_of(name)[0] for name in "abcde"], NOON, NOON)) == 5


def test_a_store_whose_replay_was_killed_after_a_file_of_marks_begins_it_again(store: Store, path: Path) -> None:
    store.restore(dict([row_of()]), [])
    store.restore_marks([pack_marks([mark_of("a", 1)])])
    # What is on disk is what a killed process leaves.
    killed = path.with_name("killed")
    shutil.copytree(path, killed)
    for name in ("marks.bulk", "rows.bulk"):
        (killed / name).write_bytes(b"half a file")
    again = Store(killed, HORIZON_S)
    assert again.stored() == Stored()
    again.restore(dict([row_of()]), [])
    again.restore_marks([pack_marks([mark_of("a", 1), mark_of("b", 2)])])
    again.restored(Position(offset=2), {"seen": 1})
    again.close()
    whole = Store(killed, HORIZON_S)
    assert whole.stored() == Stored(Position(offset=2), {"seen": 1})
    assert list(whole.all_rows()) == [row_of()]
    assert len(whole.marks([mark_of("a")[0], mark_of("b")[0]], NOON, NOON)) == 2
    assert list(killed.glob("*.bulk")) == []
    whole.close()


def test_a_file_left_by_a_kill_while_it_was_taken_in_is_not_written_over(path: Path) -> None:
    store = Store(path, HORIZON_S)
    store.restore(dict([row_of()]), [])
    store.restore_marks([pack_marks([mark_of("a", 1)])])
    store.restored(Position(offset=1), {"seen": 1})
    store.close()
    # RocksDB links a file in, and takes its old name away afterwards.
    rows_file, marks_file = sorted(path.glob("*.sst"))[:2]
    os.link(rows_file, path / "rows.bulk")
    os.link(marks_file, path / "marks.bulk")
    again = Store(path, HORIZON_S)
    again.restore(dict([row_of(start=NOON + 60)]), [])
    again.restore_marks([pack_marks([mark_of("b", 2)])])
    again.close()
    whole = Store(path, HORIZON_S)
    assert whole.stored() == Stored(Position(offset=1), {"seen": 1})
    assert len(whole.marks([mark_of("a")[0], mark_of("b")[0]], NOON, NOON)) == 2
    assert len(list(whole.all_rows())) == 2
    whole.close()


def test_a_record_that_holds_no_marks_is_refused_and_nothing_of_its_chunk_written(store: Store) -> None:
    with pytest.raises(ValueError, match="unreadable seen record"):
        store.restore_marks([pack_marks([mark_of("a")]), pack_marks([mark_of("b")])[:-1]])
    assert store.marks([mark_of("a")[0]], NOON, NOON) == {}
    with pytest.raises(ValueError, match="unreadable seen record"):
        entries_by_epoch([b"?"], HORIZON_S)
