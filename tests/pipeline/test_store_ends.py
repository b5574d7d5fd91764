"""The store after every kind of end: closed, killed, damaged, of another layout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from pipeline import store as store_module
from pipeline.batch import Position
from pipeline.rocks import is_damage
from pipeline.store import Store, Stored
from tests.pipeline.lines import NOON
from tests.pipeline.store_parts import HORIZON_S, apply_to, batch_of, mark_of, row_of


def test_a_store_closed_in_order_opens_with_everything(path: Path) -> None:
    store = Store(path, HORIZON_S)
    apply_to(store, batch_of([row_of()], [mark_of("a")], offset=4), {"windows": 9})
    store.close()
    again = Store(path, HORIZON_S)
    assert again.stored() == Stored(Position(offset=4, ledger={"beacons": 4}), {"windows": 9})
    assert (list(again.all_rows()), len(again.marks([mark_of("a")[0]], NOON, NOON))) == ([row_of()], 1)
    again.close()


def test_a_store_opened_again_filters_what_it_does_not_hold_as_a_new_one_does(path: Path) -> None:
    in_memory = []
    store = Store(path, HORIZON_S)
    for _ in range(2):
        apply_to(store, batch_of(marks=[mark_of(str(number)) for number in range(20_000)]))
        store.close()
        store = Store(path, HORIZON_S)
        in_memory.append(store._db.property_int_value("rocksdb.estimate-table-readers-mem"))
    store.close()
    # A filter has 10 bits a mark.
    assert min(in_memory) > 20_000
    written = max(path.glob("OPTIONS-*"), key=lambda file: int(file.name.partition("-")[2])).read_text()
    assert "filter_policy=bloomfilter" in written


_DIES = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from tests.pipeline.store_parts import HORIZON_S, apply_to, batch_of, mark_of, row_of
from pipeline.store import Store
store = Store(Path(sys.argv[1]), HORIZON_S)
n = 0
while True:
    n += 1
    # About 200 kB each: RocksDB writes memory to disk on its own after some tens of these.
    rows = [row_of(partner=str(p), plays=n) for p in range(1, 1500)]
    apply_to(store, batch_of(rows, [mark_of(f"m{n}-{m}", n) for m in range(1500)], offset=n))
    print(n, flush=True)
    while n == int(sys.argv[2]):
        signal.pause()
"""


@pytest.mark.parametrize("checkpoints", [1, 120])
def test_after_kill_9_the_store_holds_one_whole_checkpoint(path: Path, checkpoints: int) -> None:
    # One only waits for its end, so that nothing has reached the disk; many go on, to be killed at work.
    waits_at = "1" if checkpoints == 1 else "0"
    dies = subprocess.Popen([sys.executable, "-c", _DIES, str(path), waits_at], stdout=subprocess.PIPE, text=True)
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
    assert {value for _, value in store.all_rows()} == ({row_of(plays=held)[1]} if held else set())
    digests = [mark_of(f"m{n}-7")[0] for n in range(1, held + 2)]
    assert set(store.marks(digests, NOON, NOON)) == set(digests[:held])
    store.close()


def test_a_wiped_store_is_new_and_works(store: Store, path: Path) -> None:
    apply_to(store, batch_of([row_of()], [mark_of("a")]))
    store.wipe()
    assert (store.stored(), list(store.all_rows())) == (Stored(), [])
    assert store.marks([mark_of("a")[0]], NOON, NOON) == {}
    apply_to(store, batch_of([row_of(plays=2)], [mark_of("b")]))
    assert list(store.all_rows()) == [row_of(plays=2)]
    assert len(store.marks([mark_of("b")[0]], NOON, NOON)) == 1


def test_a_store_of_another_layout_begins_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(path, HORIZON_S)
    apply_to(store, batch_of([row_of()], [mark_of("a")]))
    store._db.put(b"p", store._db.get(b"p").replace(b'"version":1', b'"version":0'))
    store.close()
    again = Store(path, HORIZON_S)
    assert (again.stored(), list(again.all_rows())) == (Stored(), [])
    assert again.marks([mark_of("a")[0]], NOON, NOON) == {}
    again.close()


@pytest.mark.parametrize("other_s", [HORIZON_S // 2, HORIZON_S * 2])
def test_a_store_of_another_horizon_begins_anew(path: Path, other_s: int) -> None:
    store = Store(path, HORIZON_S)
    apply_to(store, batch_of([row_of()], [mark_of("a")]), {"windows": 9})
    store.close()
    again = Store(path, other_s)
    assert (again.stored(), list(again.all_rows())) == (Stored(), [])
    # What was read meanwhile, if not to its end, is of the horizon that is set now.
    again.restore(dict([row_of()]), [mark_of("b")])
    again.close()
    back = Store(path, HORIZON_S)
    assert (back.stored(), list(back.all_rows())) == (Stored(), [])
    back.close()


def test_a_store_that_says_no_horizon_is_taken_for_one_of_that_which_is_set_and_says_it_from_then_on(
    path: Path,
) -> None:
    store = Store(path, HORIZON_S)
    apply_to(store, batch_of([row_of()], [mark_of("a")]))
    state = orjson.loads(store._db.get(b"p"))
    del state["horizon_s"], state["came"]
    store._db.put(b"p", orjson.dumps(state))
    store.close()
    for horizon_s, rows in ((HORIZON_S, [row_of()]), (HORIZON_S, [row_of()]), (HORIZON_S + 1, [])):
        again = Store(path, horizon_s)
        assert list(again.all_rows()) == rows
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
    apply_to(store, batch_of([row_of()], [mark_of("a")]))
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
    key, value = row_of()
    store.restore({key: value, row_of(partner="2")[0]: None}, [mark_of("a")])
    assert (store.stored(), list(store.all_rows())) == (Stored(), [row_of()])
    position = Position(offset=3)
    store.restored(position, {"windows": 5})
    assert store.stored() == Stored(position, {"windows": 5})
    store.restore({key: None}, [])
    assert list(store.all_rows()) == []


def test_a_row_of_a_window_that_the_catalog_has_no_more_can_be_kept_and_deleted(store: Store) -> None:
    key = row_of()[0].replace(b'"10s"', b'"7s"')
    store.restore({key: b'{"offset":1}'}, [])
    assert store.row(key) == b'{"offset":1}'
    store.restore({key: None}, [])
    assert list(store.all_rows()) == []


def test_the_version_is_part_of_what_is_stored(store: Store) -> None:
    apply_to(store, batch_of())
    assert b'"version":%d' % store_module._VERSION in store._db.get(b"p")
