"""The store on a real disk: atomic, reopened after any end, forgetful only of what is past its time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import store as store_module
from pipeline.batch import Batch, Mark, Position
from pipeline.catalog import SETS, WINDOWS
from pipeline.store import Store, Stored, is_damage, row_place, row_place_of
from pipeline.windows import Shape, row_key
from tests.pipeline.life import folder
from tests.pipeline.lines import NOON

HORIZON_S = 3600
SHAPE = Shape.of(WINDOWS, SETS[:2])


def _row(start: int = NOON, partner: str = "1", window: int = 0, plays: int = 1) -> tuple[bytes, bytes]:
    return row_key((window, 0, start, (f'"{partner}"',)), SHAPE, 0), b'{"plays":%d,"offset":1}' % plays


def _mark(name: str, offset: int = 1, time_s: int = NOON) -> Mark:
    return name.encode().ljust(16, b"."), offset << 16, time_s


def _batch(
    rows: Sequence[tuple[bytes, bytes]] = (),
    marks: Sequence[Mark] = (),
    expired: Sequence[bytes] = (),
    offset: int = 1,
) -> Batch:
    return Batch([*rows], [*expired], [*marks], [], [], Position(offset=offset, ledger={"beacons": offset}))


def _apply(store: Store, batch: Batch, offsets: dict[str, int] | None = None) -> None:
    store.apply(batch, [row_place(key) for key, _ in batch.rows], offsets or {"windows": batch.position.offset})


@pytest.fixture
def path() -> Iterator[Path]:
    with folder() as base:
        yield base / "store"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, HORIZON_S)
    yield store
    store.close()


def test_a_new_store_is_empty(store: Store) -> None:
    assert (store.stored(), list(store.all_rows()), store.marks([b"a" * 16], NOON, NOON)) == (Stored(), [], {})
    assert store.rows([]) == []


def test_a_checkpoint_is_there_with_all_its_parts(store: Store) -> None:
    batch = _batch([_row(), _row(partner="2")], [_mark("a"), _mark("b", 2)], offset=7)
    _apply(store, batch, {"windows": 12, "seen": 3})
    assert store.stored() == Stored(batch.position, {"windows": 12, "seen": 3})
    assert sorted(store.all_rows()) == sorted(batch.rows)
    assert store.marks([mark[0] for mark in batch.marks], NOON, NOON) == {
        digest: (place, time_s) for digest, place, time_s in batch.marks
    }


def test_a_checkpoint_of_which_a_part_cannot_be_written_leaves_nothing(store: Store) -> None:
    _apply(store, _batch([_row(plays=1)], offset=1))
    bad = _batch([_row(plays=2)], [_mark("a"), (b"b" * 16, -1, NOON)], offset=2)
    with pytest.raises(Exception, match="argument"):
        _apply(store, bad)
    assert store.stored().position == Position(offset=1, ledger={"beacons": 1})
    assert list(store.all_rows()) == [_row(plays=1)]
    assert store.marks([_mark("a")[0]], NOON, NOON) == {}


def test_places_and_rows_that_do_not_match_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="zip"):
        store.apply(_batch([_row()]), [], {})
    assert list(store.all_rows()) == []


def test_expired_rows_are_gone(store: Store) -> None:
    _apply(store, _batch([_row(), _row(start=NOON + 10)]))
    _apply(store, _batch(expired=[_row()[0]]))
    assert [key for key, _ in store.all_rows()] == [_row(start=NOON + 10)[0]]


def test_rows_are_found_by_place_and_missing_ones_are_none(store: Store) -> None:
    _apply(store, _batch([_row(), _row(window=2, start=NOON - 420)]))
    asked = [
        (10, NOON, _row()[0]),
        (60, NOON, _row(window=1)[0]),
        (3600, NOON - 420, _row(window=2, start=NOON - 420)[0]),
    ]
    assert store.rows(asked) == [_row()[1], None, _row()[1]]
    assert (store.row(_row()[0]), store.row(_row(partner="9")[0])) == (_row()[1], None)


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
        _apply(store, _batch([_row(start, partner, window) for window, start, partner in rows]))
        for window in range(3):
            old = sorted((start, _row(start, partner, window)[0]) for of, start, partner in rows if of == window)
            wanted = [key for start, key in old if start < before][:most]
            assert store.oldest_rows(WINDOWS[window].seconds, before, most) == wanted
        store.close()


def test_rows_and_marks_do_not_run_into_each_other(store: Store) -> None:
    _apply(store, _batch([_row(window=2, start=NOON - 420)], [_mark("a"), _mark("z", time_s=4_102_444_799)]))
    assert store.oldest_rows(3600, 2**40, 10) == [_row(window=2, start=NOON - 420)[0]]
    assert len(list(store.all_rows())) == 1
    assert row_place_of(10, 1, b"k") < row_place_of(10, 256, b"") < row_place_of(60, 0, b"")


# -- marks and the horizon
#
#   epoch 0          epoch 1          epoch 2
#   |----------------|----------------|----------------|
#   a mark counts for one horizon, so it may be wanted in the next epoch, and (late beacons) in the one before


def test_marks_are_found_within_a_horizon_of_what_is_asked(store: Store) -> None:
    begin = NOON // HORIZON_S * HORIZON_S
    marks = [_mark(str(n), time_s=begin + n * HORIZON_S) for n in range(5)]
    _apply(store, _batch(marks=marks))
    found = store.marks([mark[0] for mark in marks], begin + 2 * HORIZON_S, begin + 2 * HORIZON_S)
    assert set(found) == {mark[0] for mark in marks[1:4]}
    found = store.marks([mark[0] for mark in marks], begin + HORIZON_S, begin + 3 * HORIZON_S)
    assert set(found) == {mark[0] for mark in marks}


def test_of_two_marks_of_one_identity_the_later_counts(store: Store) -> None:
    first, later = _mark("a", 1, NOON), _mark("a", 2, NOON + HORIZON_S)
    _apply(store, _batch(marks=[first]))
    _apply(store, _batch(marks=[later]))
    assert store.marks([first[0]], NOON + HORIZON_S, NOON + HORIZON_S) == {first[0]: later[1:]}


@pytest.mark.parametrize("reopened", [False, True])
def test_marks_are_forgotten_by_epochs_that_no_horizon_reaches(path: Path, reopened: bool) -> None:
    begin = NOON // HORIZON_S * HORIZON_S
    store = Store(path, HORIZON_S)
    marks = [_mark(str(n), time_s=begin + n * HORIZON_S) for n in range(4)]
    _apply(store, _batch(marks=marks))
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
    _apply(store, _batch(marks=[_mark("a", time_s=NOON)]))
    store.drop_before(NOON + 3 * HORIZON_S)
    _apply(store, _batch(marks=[_mark("b", time_s=NOON)]))
    assert set(store.marks([_mark("a")[0], _mark("b")[0]], NOON, NOON)) == {_mark("b")[0]}


@pytest.mark.parametrize("way", ["running", "reopened", "replayed"])
def test_marks_that_come_when_they_are_old_already_are_kept_for_a_horizon_from_then_on(path: Path, way: str) -> None:
    #   mark's time      3 horizons later: it comes      4 horizons: kept still      over: forgotten
    came = (NOON // HORIZON_S + 3) * HORIZON_S
    store, old = Store(path, HORIZON_S), _mark("old", time_s=NOON)
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


# -- ends


def test_a_store_closed_in_order_opens_with_everything(path: Path) -> None:
    store = Store(path, HORIZON_S)
    _apply(store, _batch([_row()], [_mark("a")], offset=4), {"windows": 9})
    store.close()
    again = Store(path, HORIZON_S)
    assert again.stored() == Stored(Position(offset=4, ledger={"beacons": 4}), {"windows": 9})
    assert (list(again.all_rows()), len(again.marks([_mark("a")[0]], NOON, NOON))) == ([_row()], 1)
    again.close()


_DIES = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from tests.pipeline.test_store import _apply, _batch, _mark, _row, HORIZON_S
from pipeline.store import Store
store = Store(Path(sys.argv[1]), HORIZON_S)
n = 0
while True:
    n += 1
    # About 200 kB each: RocksDB writes memory to disk on its own after some tens of these.
    rows = [_row(partner=str(p), plays=n) for p in range(1, 1500)]
    _apply(store, _batch(rows, [_mark(f"m{n}-{m}", n) for m in range(1500)], offset=n))
    print(n, flush=True)
"""


@pytest.mark.parametrize("checkpoints", [1, 120])
def test_after_kill_9_the_store_holds_one_whole_checkpoint(path: Path, checkpoints: int) -> None:
    dies = subprocess.Popen([sys.executable, "-c", _DIES, str(path)], stdout=subprocess.PIPE, text=True)
    assert dies.stdout is not None
    written = 0
    while written < checkpoints:
        written = int(dies.stdout.readline())
    os.kill(dies.pid, signal.SIGKILL)
    dies.wait()
    dies.stdout.close()
    store = Store(path, HORIZON_S)
    position = store.stored().position
    held = position.offset if position is not None else 0
    assert 0 <= held <= written + 1_000_000
    assert (held > 0) == (checkpoints > 100)
    assert {value for _, value in store.all_rows()} == ({_row(plays=held)[1]} if held else set())
    digests = [_mark(f"m{n}-7")[0] for n in range(1, held + 2)]
    assert set(store.marks(digests, NOON, NOON)) == set(digests[:held])
    store.close()


def test_a_wiped_store_is_new_and_works(store: Store, path: Path) -> None:
    _apply(store, _batch([_row()], [_mark("a")]))
    store.wipe()
    assert (store.stored(), list(store.all_rows())) == (Stored(), [])
    assert store.marks([_mark("a")[0]], NOON, NOON) == {}
    _apply(store, _batch([_row(plays=2)], [_mark("b")]))
    assert list(store.all_rows()) == [_row(plays=2)]
    assert len(store.marks([_mark("b")[0]], NOON, NOON)) == 1


def test_a_store_of_another_layout_begins_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(path, HORIZON_S)
    _apply(store, _batch([_row()], [_mark("a")]))
    store._db.put(b"p", store._db.get(b"p").replace(b'"version":1', b'"version":0'))
    store.close()
    again = Store(path, HORIZON_S)
    assert (again.stored(), list(again.all_rows())) == (Stored(), [])
    assert again.marks([_mark("a")[0]], NOON, NOON) == {}
    again.close()


def _flip(file: Path, at: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at % len(raw)] ^= 0xFF
    file.write_bytes(raw)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "CURRENT").unlink(),
        lambda path: os.truncate(next(path.glob("MANIFEST*")), 20),
        lambda path: [file.unlink() for file in path.glob("*.sst")],
        lambda path: [os.truncate(file, 100) for file in path.glob("*.sst")],
        lambda path: [_flip(file, 20) for file in path.glob("*.sst")],
    ],
    ids=["no CURRENT", "half a manifest", "no tables", "half a table", "a byte flipped"],
)
def test_a_damaged_store_begins_anew(path: Path, damage: object) -> None:
    store = Store(path, HORIZON_S)
    _apply(store, _batch([_row()], [_mark("a")]))
    store.close()
    damage(path)  # type: ignore[operator]
    again = Store(path, HORIZON_S)
    assert (again.stored(), list(again.all_rows())) == (Stored(), [])
    again.close()


def test_a_folder_that_another_store_holds_is_no_damage(store: Store, path: Path) -> None:
    with pytest.raises(Exception, match="lock") as refused:
        Store(path, HORIZON_S)
    assert not is_damage(refused.value)
    assert store.stored() == Stored()


def test_a_restore_counts_only_once_it_is_said_to_be_whole(store: Store) -> None:
    key, value = _row()
    store.restore({key: value, _row(partner="2")[0]: None}, [_mark("a")])
    assert (store.stored(), list(store.all_rows())) == (Stored(), [_row()])
    position = Position(offset=3)
    store.restored(position, {"windows": 5})
    assert store.stored() == Stored(position, {"windows": 5})
    store.restore({key: None}, [])
    assert list(store.all_rows()) == []


def test_a_row_of_a_window_that_the_catalog_has_no_more_can_be_kept_and_deleted(store: Store) -> None:
    key = _row()[0].replace(b'"10s"', b'"7s"')
    store.restore({key: b'{"offset":1}'}, [])
    assert store.row(key) == b'{"offset":1}'
    store.restore({key: None}, [])
    assert list(store.all_rows()) == []


def test_the_version_is_part_of_what_is_stored(store: Store) -> None:
    _apply(store, _batch())
    assert b'"version":%d' % store_module._VERSION in store._db.get(b"p")
