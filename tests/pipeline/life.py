"""The life of one partition: owner after owner over one log of beacons, with crashes as steps."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from pipeline.batch import Batch
from pipeline.catalog import METRICS, SETS, WINDOWS, EventType
from pipeline.changelog import Lost
from pipeline.opening import open_partition
from pipeline.partition import Partition
from pipeline.rows import Rules
from pipeline.store import Store
from pipeline.windows import Shape
from tests.pipeline.lines import NOON, play
from tests.pipeline.state_topics import TOPICS, Fault, MemoryChangelog, StateTopics

# What `truth` below counts: partner and entry, and the metrics that one field of a beacon says.
_COUNTED = ("plays", "views", "bufferTime", "impressions", "errors")
RULES = Rules(Shape.of(WINDOWS, SETS[:2]), metrics=tuple(metric for metric in METRICS if metric.name in _COUNTED))
TOPIC_ID = "topic-1"
# Memory-backed where there is such a place: opening RocksDB there is ten times quicker.
_SHM = Path("/dev/shm")


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder for stores, and take it away."""
    with tempfile.TemporaryDirectory(dir=_SHM if _SHM.is_dir() else None) as path:
        yield Path(path)


@dataclass(frozen=True, slots=True)
class Sent:
    """One beacon of a test: what a player sent, in a few words."""

    session: str = "s"
    index: int = 1
    entry: str = "1_x"
    partner: str = "4242"
    kind: int = 3
    at: float = NOON
    buffer_ms: int = 0

    def line(self) -> bytes:
        """Return it as a beacon line."""
        buffer = f"{self.buffer_ms / 1000:.3f}" if self.buffer_ms else ""
        return play(
            self.index,
            session=self.session,
            entry=self.entry,
            partner=self.partner,
            kind=self.kind,
            buffer=buffer,
            time=self.at,
        )

    @property
    def event(self) -> tuple[object, ...]:
        """Return what makes it one event."""
        return self.partner, self.session, self.index, self.entry, self.kind


_METRIC = {3: "plays", 99: "views", 1: "impressions", 98: "errors"}
Table = dict[tuple[str, int, str, str | None], dict[str, int]]


def truth(log: Sequence[Sequence[Sent]]) -> Table:
    """Return the table that a log of records must give, by a reading of its own."""
    table: dict[tuple[str, int, str, str | None], Counter[str]] = {}
    seen: set[object] = set()
    for sent in (sent for record in log for sent in record):
        if sent.event in seen:
            continue
        seen.add(sent.event)
        if sent.kind not in _METRIC:
            continue
        adds = {_METRIC[sent.kind]: 1}
        if sent.kind == 99 and sent.buffer_ms:
            adds["bufferTime"] = sent.buffer_ms
        for window in WINDOWS:
            start = int(sent.at) - int(sent.at) % window.seconds
            for entry in (None, sent.entry):
                table.setdefault((window.name, start, sent.partner, entry), Counter()).update(adds)
    return {row: dict(counts) for row, counts in table.items()}


def table_of(rows: dict[bytes, dict[str, int]]) -> Table:
    """Return rows as they stand in `windows` in the form of `truth`."""
    table: Table = {}
    for key, counts in rows.items():
        words = orjson.loads(key)
        row = words["window"], words["start"], words["partnerId"], words.get("entryId")
        table[row] = {name: amount for name, amount in counts.items() if name in _COUNTED}
    return table


KNOWN = {int(kind) for kind in EventType}


@dataclass
class Life:
    """One partition and whoever owns it.

    Attributes:
        log: the records of topic beacons, by offset.
        first: offset of the first record that Kafka still has.
    """

    path: Path
    log: list[bytes] = field(default_factory=list)
    rules: Rules = RULES
    kafka: StateTopics = field(default_factory=StateTopics)
    first: int = 0
    number: int = 0
    now_s: float = NOON + 100
    lives: int = 0
    _held: tuple[Partition, Store, MemoryChangelog] | None = None

    # -- owning

    @property
    def partition(self) -> Partition:
        """Return the open partition, opening it if nobody holds it."""
        if self._held is None:
            self.open()
        assert self._held is not None
        return self._held[0]

    @property
    def store(self) -> Store:
        """Return its store."""
        assert self.partition is not None and self._held is not None
        return self._held[1]

    @property
    def _folder(self) -> Path:
        return self.path / str(self.lives)

    def open(self) -> Partition:
        """Take the partition."""
        assert self._held is None
        changelog = MemoryChangelog(self.kafka)
        partition, store = open_partition(self.number, self._folder, changelog, TOPICS, self.rules, TOPIC_ID)  # type: ignore[arg-type]
        self._held = partition, store, changelog
        return partition

    def close(self) -> None:
        """Give the partition up in order."""
        if self._held is not None:
            self._held[1].close()
            self._held = None

    def crash(self, wiped: bool = False) -> None:
        """Die with kill -9: what RocksDB holds in memory is gone; with `wiped` its folder too."""
        if self._held is None:
            return
        left = self.path / str(self.lives + 1)
        if not wiped:
            shutil.copytree(self._folder, left)
        self.close()
        shutil.rmtree(self._folder)
        self.lives += 1

    # -- counting

    def take(self, most: int = 1_000_000) -> None:
        """Fold up to `most` records that come next."""
        partition = self.partition
        start = partition.position + 1
        stop = min(len(self.log), start + most)
        if start < self.first:
            partition.skip_to(self.first)
            start = self.first
        partition.take([(offset, self.log[offset]) for offset in range(start, stop)])

    def checkpoint(self, fault: Fault = Fault.NONE, die_before_apply: bool = False) -> Batch | None:
        """Write a checkpoint if there is something to write; a fault ends the owner's life."""
        partition = self.partition
        if not partition.is_dirty or partition.is_healing:
            return None
        self.kafka.fault = fault
        batch, places = partition.prepare(TOPIC_ID, self.now_s)
        return self.write(batch, places, die_before_apply)

    def write(self, batch: Batch, places: list[bytes], die_before_apply: bool = False) -> Batch | None:
        """Write a prepared checkpoint."""
        assert self._held is not None
        partition, store, changelog = self._held
        try:
            offsets = changelog.commit(batch)
        except Lost:
            self.crash()
            return None
        if die_before_apply:
            self.crash()
            return None
        store.apply(batch, places, offsets)
        partition.written(batch)
        return batch

    def finish(self) -> Table:
        """Count everything, write it, and return the table that Kafka then holds."""
        while self.partition.position < len(self.log) - 1 or self.partition.is_dirty:
            self.take()
            self.checkpoint()
        return self.table()

    def table(self) -> Table:
        """Return the table as a reader of `windows` knows it."""
        return table_of(self.kafka.rows())

    def stored_table(self) -> Table:
        """Return the table in the store."""
        return table_of({key: orjson.loads(value) for key, value in self.store.all_rows()})


def records(sent: Sequence[Sequence[Sent]]) -> list[bytes]:
    """Return beacons as records of topic `beacons`."""
    return [b"\n".join(one.line() for one in record) for record in sent]


@contextmanager
def living(log: Sequence[Sequence[Sent]] = (), **changes: object) -> Iterator[Life]:
    """Give the life of a partition over these records."""
    with folder() as path:
        life = Life(path, records(log))
        for name, value in changes.items():
            setattr(life, name, value)
        try:
            yield life
        finally:
            life.close()


def ruled(**changes: object) -> Rules:
    """Return the rules of the line with these changed."""
    return replace(RULES, **changes)  # type: ignore[arg-type]


def ledger_of(life: Life) -> dict[str, int]:
    return life.kafka.position().ledger


def plays_of(life: Life, window: str = "10s", entry: str | None = None) -> dict[int, int]:
    """Return plays by start of window."""
    return {
        start: counts.get("plays", 0)
        for (name, start, _, of), counts in life.table().items()
        if (name, of) == (window, entry)
    }
