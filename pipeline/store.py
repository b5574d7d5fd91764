"""The store: a partition's rows, marks and position in RocksDB. A cache: deleting it costs time, never counts.

One key space, told apart by the first byte, so that one write batch is atomic over all of it. No write-ahead
log: after a crash RocksDB holds an older whole state (and some of a replay that was under way), with the changelog
offsets that belong to it, and the changelog gives the rest. Keys: `r` window size (4) start (8) row key · `m` epoch
(4) identity · `s` epoch (4) session · `p`.
"""

from __future__ import annotations

import logging
import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
from rocksdict import Rdict, WriteBatch, WriteOptions

from pipeline.aged import Aged
from pipeline.batch import Batch, Mark, Position, SessionState, count_marks, unpack_marks
from pipeline.bulk import write_marks, write_rows
from pipeline.catalog import WINDOWS
from pipeline.rocks import is_damage, open_folder, take_in

log = logging.getLogger(__name__)

# Of fewer marks or rows a file of their own, one more to look into, is not worth it.
MANY_MARKS = 50_000
MANY_ROWS = 10_000
_STATE = b"p"
_MARK = struct.Struct("<QI")
_VERSION = 1
_FOREVER_S = 1 << 40
_SECONDS = {window.name: window.seconds for window in WINDOWS}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds beside rows and marks.

    Attributes:
        position: the position that its rows and marks include.
        offsets: next changelog offset to read, by state topic.
        version: of the layout of its keys.
        late: by old epoch of marks, the line's time (Unix seconds) when it got some.
        came: epochs of the marks that came since the line's time was last told; it shows which of them came late.
        horizon_s: the dedupe horizon that its epochs are of; 0: not read.
    """

    position: Position | None = None
    offsets: dict[str, int] = field(default_factory=dict)
    version: int = _VERSION
    late: dict[str, int] = field(default_factory=dict)
    came: list[int] = field(default_factory=list)
    horizon_s: int = 0


class Store:
    """Rows, marks and position of one partition on local disk."""

    def __init__(self, path: Path, dedupe_horizon_s: int) -> None:
        """Open the store in the folder `path`: a new one if there is none, or none that can be read.

        Its marks lie by epochs of a horizon: under another one they are looked for where they are not, so a store of
        another horizon cannot be read. One that says none is of a version that did not say it, and of this horizon.
        """
        self._path = path
        self._horizon_s = dedupe_horizon_s
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True
        self._db: Any = None
        self._late: dict[int, int] = {}
        # When the line's own time was last told, it was this (Unix seconds); epochs of the marks that came since then.
        self._told_s = 0
        self._came: set[int] = set()
        try:
            self._db = self._open()
            is_readable = self._read_state()
        except Exception as fault:
            if not is_damage(fault):
                raise
            log.warning("store %s is damaged and begins anew: %s", path, fault)
            is_readable = False
        if not is_readable:
            self.wipe()

    def _read_state(self) -> bool:
        """Take up what the store says of itself; tell whether it can be read."""
        raw = self._db.get(_STATE)
        self._begin()
        state = orjson.loads(raw or self._state(None, {}))
        if state["version"] != _VERSION:
            return False
        if state.setdefault("horizon_s", self._horizon_s) != self._horizon_s:
            was_s = state["horizon_s"]
            log.warning(
                "store %s is of a dedupe horizon of %d s, not %d: read anew", self._path, was_s, self._horizon_s
            )
            return False
        self._late = {int(epoch): time_s for epoch, time_s in state.get("late", {}).items()}
        self._came = set(state.get("came", ()))
        # Said from now on, should the setting change before anything else is written.
        self._db.put(_STATE, orjson.dumps(state), self._write_options)
        return True

    def _open(self) -> Rdict:
        self._path.mkdir(parents=True, exist_ok=True)
        return open_folder(self._path)

    def _begin(self) -> None:
        self._marks = Aged(self._db, b"m", self._horizon_s)
        self._sessions = Aged(self._db, b"s", self._horizon_s)

    def wipe(self) -> None:
        """Forget everything: the changelog holds it."""
        if self._db is not None:
            self._db.close()
        shutil.rmtree(self._path)
        self._db = self._open()
        self._begin()
        self._late, self._came = {}, set()
        self._db.put(_STATE, self._state(None, {}), self._write_options)

    def close(self) -> None:
        """Write what is in memory and let the folder go."""
        try:
            self._db.flush()
        finally:
            # Its lock too: a folder that cannot be written must not stay held by who opens it again.
            self._db.close()

    # -- what it includes

    def stored(self) -> Stored:
        """Return position and changelog offsets, empty for a new store."""
        raw = self._db.get(_STATE)
        if raw is None:
            return Stored()
        state = orjson.loads(raw)
        position = state["position"]
        return Stored(Position(**position) if position else None, state["offsets"])

    # -- rows

    def rows(self, keys: Sequence[tuple[int, int, bytes]]) -> list[bytes | None]:
        """Return the values of rows by (window seconds, start, key), None where there is none."""
        if not keys:
            return []
        values: list[bytes | None] = self._db.get([row_place_of(*key) for key in keys])
        return values

    def row(self, key: bytes) -> bytes | None:
        """Return the value of one row by its key in topic `windows`."""
        value: bytes | None = self._db.get(row_place(key))
        return value

    def oldest_rows(self, window_s: int, before_start: int, most: int) -> list[bytes]:
        """Return the keys of at most `most` rows of a window that start before an instant, oldest first."""
        found: list[bytes] = []
        end = row_place_of(window_s, before_start, b"")
        for key in self._db.keys(from_key=row_place_of(window_s, 0, b"")):
            if key >= end or len(found) >= most:
                break
            found.append(key[13:])
        return found

    def row_keys(self, window_s: int, start: int, begin: bytes) -> Iterator[bytes]:
        """Yield the keys of one window's rows that begin so."""
        place = row_place_of(window_s, start, begin)
        for key in self._db.keys(from_key=place):
            if not key.startswith(place):
                break
            yield key[13:]

    def all_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and value of every row."""
        for key, value in self._db.items(from_key=b"r"):
            if not key.startswith(b"r"):
                break
            yield key[13:], value

    # -- marks and sessions

    def marks(self, digests: Sequence[bytes], low_s: int, high_s: int) -> dict[bytes, tuple[int, int]]:
        """Return place and time of first sightings, for those of these identities that have one; see Aged.get."""
        found = self._marks.get(digests, low_s, high_s)
        return {digest: _MARK.unpack(value) for digest, value in found.items()}

    def sessions(self, digests: Sequence[bytes], low_s: int, high_s: int) -> dict[bytes, bytes]:
        """Return those of these sessions that are kept; see Aged.get.

        Those too that a clock far ahead once saw: they lie in the line's future until it gets there.
        """
        future_s = (max(high_s, self._told_s) // self._horizon_s + 3) * self._horizon_s
        known = self._sessions.get(digests, low_s, high_s)
        return known | self._sessions.get(digests, future_s, _FOREVER_S)

    def drop_before(self, time_s: int) -> None:
        """Forget marks and sessions that are older than the horizon at `time_s`, by whole epochs.

        Those that came when they were as old as that already are kept for a horizon from then on. `time_s`
        is the line's own time as far as this machine's clock agrees: one beacon of a clock ahead makes no others old.
        """
        oldest = time_s // self._horizon_s - 1
        self._late |= {epoch: time_s for epoch in self._came if epoch < oldest}
        self._told_s, self._came = time_s, set()
        kept = {epoch for epoch, came_s in self._late.items() if time_s < came_s + self._horizon_s}
        self._late = {epoch: self._late[epoch] for epoch in kept}
        self._marks.drop_before(time_s, kept)
        self._sessions.drop_before(time_s, kept)

    # -- writing

    def apply(self, batch: Batch, row_keys: Iterable[bytes], offsets: dict[str, int]) -> None:
        """Write a committed checkpoint: all of it or nothing.

        Args:
            batch: what was committed.
            row_keys: per row of the batch its place in the store, see row_place_of.
            offsets: next changelog offset to read, by state topic.
        """
        write = WriteBatch(raw_mode=True)
        for place, (_, value) in zip(row_keys, batch.rows, strict=True):
            write.put(place, value)
        for key in batch.expired:
            write.delete(row_place(key))
        self._put_seen(write, batch.marks, batch.sessions)
        self._came |= {mark[2] // self._horizon_s for mark in batch.marks}
        write.put(_STATE, self._state(batch.position, offsets))
        self._db.write(write, self._write_options)

    def restore(
        self, rows: dict[bytes, bytes | None], marks: Sequence[Mark], sessions: Iterable[SessionState] = ()
    ) -> None:
        """Write a part of a replay; only `restored` makes it count. Many rows go in as a sorted file."""
        placed = {row_place(key): value for key, value in rows.items()}
        if len(placed) >= MANY_ROWS:
            write_rows(file := self._path / "rows.bulk", placed)
            take_in(self._db, file)
            placed = {}
        write = WriteBatch(raw_mode=True)
        for place, value in placed.items():
            if value is None:
                write.delete(place)
            else:
                write.put(place, value)
        self._put_seen(write, marks, sessions)
        self._came |= {time_s // self._horizon_s for time_s in set(map(itemgetter(2), marks))}
        self._db.write(write, self._write_options)

    def restore_marks(self, records: Sequence[bytes]) -> None:
        """Write the marks of `seen` records, as `restore` writes rows."""
        if sum(map(count_marks, records)) < MANY_MARKS:
            self.restore({}, [mark for record in records for mark in unpack_marks(record)])
            return
        file = self._path / "marks.bulk"
        epochs = write_marks(file, records, self._horizon_s, self._marks.begin)
        take_in(self._db, file)
        self._came.update(epochs)

    def restored(self, position: Position | None, offsets: dict[str, int]) -> None:
        """Write what the state includes after a replay."""
        write = WriteBatch(raw_mode=True)
        write.put(_STATE, self._state(position, offsets))
        self._db.write(write, self._write_options)

    def _state(self, position: Position | None, offsets: dict[str, int]) -> bytes:
        late = {str(epoch): time_s for epoch, time_s in self._late.items()}
        return orjson.dumps(Stored(position, offsets, _VERSION, late, sorted(self._came), self._horizon_s))

    def _put_seen(self, write: WriteBatch, marks: Iterable[Mark], sessions: Iterable[SessionState]) -> None:
        pack = _MARK.pack
        self._marks.put(write, ((digest, time_s, pack(place, time_s)) for digest, place, time_s in marks))
        self._sessions.put(write, sessions)


def row_place_of(window_s: int, start: int, key: bytes) -> bytes:
    """Return where a row lies in the store: rows of a window size lie together, oldest first."""
    return b"r" + struct.pack(">IQ", window_s, start) + key


def row_place(key: bytes) -> bytes:
    """Return where a row lies in the store, from its key alone."""
    return _place_begin(key[: key.find(b',"set":')]) + key


@lru_cache(4096)
def _place_begin(head: bytes) -> bytes:
    """Return with what the places of rows begin whose keys begin so, up to the set.

    Rows that come together share few windows: 0.5 us a row, 2.2 us where every key is parsed (measured).
    """
    words = orjson.loads(head + b"}")
    return row_place_of(_SECONDS.get(words["window"], 0), words["start"], b"")
