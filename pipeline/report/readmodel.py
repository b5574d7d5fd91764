"""The read model's file: rows, positions and Kafka offsets move on together in one SQLite transaction."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from pipeline.report.record import Batch, Position, RowKey, RowValues
from pipeline.report.schema import TABLES, Table, statements, version

log = logging.getLogger(__name__)

# Rows are also dropped here, a day after the catalog's retention: a report that was away for longer
# than Kafka keeps tombstones would otherwise keep what they ended.
SLACK_SECONDS = 86_400
# Pages of the WAL, 128 MiB, at which a batch waits until all of it is in the file.
MOST_WAL_PAGES = 32_768


@dataclass(frozen=True, slots=True)
class Identity:
    """Which topic the rows came from.

    Attributes:
        topic: the topic's own id; a deleted and created topic has another one.
        ends: end offset of each partition; lower than what was read means another log.
    """

    topic: str
    ends: dict[int, int]


def is_damage(error: Exception) -> bool:
    """Tell whether an error says that the file is damaged; any other may pass, and the file is as good as before."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: Exception) -> int:
    """Return what SQLite says is wrong, without the details; SQLITE_OK where it says nothing."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF


def connect(path: Path) -> sqlite3.Connection:
    """Open the file to write."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # NORMAL may forget the last transactions at a power cut, rows and offsets alike: they are read again.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # `write_back` does it, and must be the only one: see there.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def remove(path: Path) -> None:
    """Delete the file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _other_topic(identity: Identity, meta: dict[str, str], stored: dict[int, int]) -> str | None:
    if meta.get("topic") != identity.topic:
        return "another topic"
    if any(identity.ends.get(part, 0) < following for part, following in stored.items()):
        return "the topic ends before what was read"
    return None


class ReadModel:
    """The one writer of the file. Not for several threads but for `write_back`."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Prepare; `clock` gives Unix seconds of now."""
        self.path = path
        self._clock = clock
        self.revision = 0
        self.positions: dict[int, Position] = {}
        self.next_offsets: dict[int, int] = {}
        self.complete = False
        self._distrusted: str | None = None
        self._connection: sqlite3.Connection | None = None
        # Held while the file is opened, closed or written back.
        self._file = threading.RLock()
        # Held while a batch is committed, so that `revision` says what is in the WAL.
        self._commits = threading.Lock()
        # The revision up to which there is nothing to write back, and how large the WAL was found.
        self._written = 0
        self._wal_pages = 0

    def open_as_it_is(self) -> bool:
        """Open the file before Kafka was asked about it; tell whether it holds a whole reading.

        Raises:
            sqlite3.OperationalError: it cannot be read now.
        """
        with self._file:
            if not self.path.exists() or self._doubt(None) is not None:
                self.close()
                return False
            return self.complete

    def open(self, identity: Identity) -> None:
        """Open the file and go on where it was, or begin an empty one where it does not fit.

        Raises:
            sqlite3.OperationalError: it cannot be read now.
        """
        with self._file:
            self.close()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            doubt = self._doubt(identity)
            if doubt is not None:
                log.warning("read model is built again from Kafka: %s", doubt)
                self.close()
                remove(self.path)
                self._create(identity)

    def distrust(self, damage: str) -> None:
        """Build the file again when it is opened next: until Kafka can be asked, it is better than nothing."""
        self._distrusted = f"the file is damaged ({damage})"

    def _doubt(self, identity: Identity | None) -> str | None:
        """Return why the file cannot be gone on with, or None."""
        if not self.path.exists():
            return "no file"
        if self._distrusted is not None:
            return self._distrusted
        try:
            self._connection = connect(self.path)
            meta = dict(self._connection.execute("SELECT name, value FROM meta"))
            if meta.get("schema") != version():
                return "another catalog"
            self._load()
        except sqlite3.DatabaseError as error:
            # A table that is not there makes it another file; a disk that fails, or has no room, does not.
            if not is_damage(error) and _code(error) != sqlite3.SQLITE_ERROR:
                raise
            return f"the file cannot be read ({error})"
        except (KeyError, ValueError) as error:
            return f"the file says what it cannot ({error!r})"
        return None if identity is None else _other_topic(identity, meta, self.next_offsets)

    def _create(self, identity: Identity) -> None:
        self._connection = connect(self.path)
        self._connection.execute("BEGIN IMMEDIATE")
        for statement in statements():
            self._connection.execute(statement)
        meta = {"schema": version(), "topic": identity.topic, "revision": "0", "complete": ""}
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        self._connection.execute("COMMIT")
        self._distrusted = None
        self._load()

    def _load(self) -> None:
        connection = self._open()
        self.next_offsets = dict(connection.execute("SELECT part, next FROM progress"))
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        self.revision = self._written = int(meta["revision"])
        self._wal_pages = 0
        self.complete = bool(meta["complete"])
        found = connection.execute('SELECT part, "offset", time, ledger, topic FROM position')
        self.positions = {
            part: Position(part, at, ms, orjson.loads(ledger), topic) for part, at, ms, ledger, topic in found
        }

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the read model is not open")
        return self._connection

    def apply(self, batch: Batch) -> None:
        """Write one batch whole, or nothing of it."""
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for table, rows in batch.rows.items():
                self._write_rows(connection, table, rows)
            connection.executemany(
                "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?)",
                [
                    (p.partition, p.offset, p.time, orjson.dumps(p.ledger).decode(), p.topic)
                    for p in batch.positions.values()
                ],
            )
            connection.executemany("INSERT OR REPLACE INTO progress VALUES (?, ?)", batch.next_offsets.items())
            connection.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (str(self.revision + 1),))
            with self._commits:
                connection.execute("COMMIT")
                self.revision += 1
        except BaseException:
            connection.rollback()
            raise
        self.positions |= batch.positions
        self.next_offsets |= batch.next_offsets
        if self._wal_pages > MOST_WAL_PAGES:
            # Batches come so fast that it never begins anew: this one waits.
            self.write_back()

    def write_back(self) -> None:
        """Bring what the WAL holds into the file; from a thread of its own, so that no batch waits for the disk.

        Measured: the writer did so after every batch at 5,000 beacons/s, for an eighth of its time, and waited for the
        disk, mostly 10 ms and once 1.6 s.

        Only where a batch was committed since the last time, and nobody else does it: SQLite before 3.51.3 can lose
        rows where a WAL that is in the file already begins anew while somebody looks whether it is
        (https://sqlite.org/wal.html, "The WAL-Reset Bug").

        Raises:
            sqlite3.Error: the file cannot be read or written now; what is in the WAL stays there.
        """
        with self._file:
            if self._connection is None or self.revision == self._written:
                return
            began = self.revision
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True)) as beside:
                beside.execute("PRAGMA synchronous = NORMAL")
                _, pages, _ = beside.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            with self._commits:
                # With nothing committed meanwhile it begins anew at the next batch.
                self._wal_pages = 0 if self.revision == began else pages
                self._written = self.revision

    def mark_complete(self) -> None:
        """Remember that the topic was read to its end once: from here on rows only move on."""
        self._open().execute("UPDATE meta SET value = 'yes' WHERE name = 'complete'")
        self.complete = True

    @staticmethod
    def _write_rows(connection: sqlite3.Connection, table: Table, rows: dict[RowKey, RowValues | None]) -> None:
        kept = [key + sums for key, sums in rows.items() if sums is not None]
        ended = [key for key, sums in rows.items() if sums is None]
        connection.executemany(table.upsert(), kept)
        connection.executemany(table.delete(), ended)

    def expire(self) -> int:
        """Drop rows whose retention is long over; return how many.

        By the newest beacon's time as far as this machine's clock agrees: one clock that is ahead, here or at an
        ingest, ends nothing early.
        """
        newest = min(int(self._clock()), max((p.time for p in self.positions.values()), default=0) // 1000)
        connection = self._open()
        dropped = 0
        for table in TABLES.values():
            before = newest - table.window.keep_seconds - table.window.seconds - SLACK_SECONDS
            done = connection.execute(
                f'DELETE FROM "{table.name}" WHERE block < ?', (before // table.block * table.block,)
            )
            dropped += done.rowcount
        return dropped

    def close(self) -> None:
        """Close the file."""
        with self._file:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
