"""Open a partition: fence its earlier owners, bring the store to the changelog's end, judge that end, go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.batch import Position, SessionState, count_marks, holds_sessions, is_position_key, unpack_seen
from pipeline.changelog import Changelog, Topics
from pipeline.partition import Partition
from pipeline.replay import OnOutside, Replayed
from pipeline.rocks import is_damage
from pipeline.rows import Rules
from pipeline.store import Store, Stored
from pipeline.tail import NO_BATCH, Tail, Verdict, span_of
from pipeline.windows import row_id_of, row_offset

log = logging.getLogger(__name__)

# Records written to the store at once during a replay: bounds memory. Each chunk of rows or marks becomes a file of the
# store, and four files at once are compacted: few large ones cost less CPU (14.5 s for four partitions of 250,000 rows
# and 1,250,000 marks at once, 18.7 s with chunks of 20,000 rows, measured).
CHUNK_ROWS = 100_000
# Of their keys and values: rows with sketches are large.
CHUNK_ROW_BYTES = 24 << 20
# 14 MB, packed as they came.
CHUNK_MARKS = 500_000
CHUNK_SESSIONS = 50_000


class Refused(Exception):
    """The operator must act: this state belongs to another topic of that name."""


def open_partition(
    number: int, path: Path, changelog: Changelog, topics: Topics, rules: Rules, topic_id: str
) -> tuple[Partition, Store]:
    """Return the partition, ready for the record after its position, and its store.

    Blocks: run it in an executor thread.

    Raises:
        Lost: Kafka did not answer, or another owner took the partition.
        Refused: the state counts another topic of that name (it was deleted and created again).
    """
    changelog.fence()
    store = Store(path, rules.dedupe_horizon_s)
    try:
        end = bring_to_end(store, changelog, topics)
        changelog.go_on_from(end.offsets)
        verdict, position = end.verdict, end.verdict.position
        if position.topic and topic_id and position.topic != topic_id:
            raise Refused(
                f"partition {number}: the state counts a topic {topics.beacons} that was deleted and created again; "
                f"to count the new one from its start, stop the workers and run: python -m pipeline rebuild"
            )
        if verdict.heal_until >= 0:
            log.warning(
                "partition %d: its last checkpoint is torn; folding beacons %d to %d again",
                number,
                position.offset + 1,
                verdict.heal_until,
            )
        partition = Partition(number, store, rules, position, verdict.heal_until)
        if end.stale is not None:
            ids = (row_id_of(key, rules.shape) for key in end.stale)
            partition.rewrite(row_id for row_id in ids if row_id is not None)
    except BaseException as fault:
        if is_damage(fault):
            store.wipe()
        store.close()
        raise
    return partition, store


class Source(Protocol):
    """Where a store is brought to the end from; see Changelog.replay."""

    def replay(self, offsets: dict[str, int], on_outside: OnOutside) -> Iterator[Replayed]:
        """Yield what the state topics hold from these offsets to their end."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of the state topics, as a replay found it.

    Attributes:
        verdict: where to go on.
        stale: keys of rows to write again; None if Kafka holds nothing stale.
        offsets: next offset to read, by state topic.
    """

    verdict: Verdict
    stale: list[bytes] | None
    offsets: dict[str, int]

    @property
    def is_whole(self) -> bool:
        """Tell whether the store now holds it: what is torn or stale is read again until a checkpoint has mended it."""
        return self.verdict.heal_until < 0 and self.stale is None


def bring_to_end(store: Store, source: Source, topics: Topics, grows: bool = False) -> End:
    """Bring the store to the end of the state topics.

    With `grows` an owner writes on meanwhile, and `source` yields `windows` before `seen`: what batches after the last
    position row have seen is left for the next time.

    Raises:
        Lost: Kafka did not answer.
    """
    stored = store.stored()
    offsets = dict(stored.offsets)
    lost_place: list[str] = []

    def on_outside(topic: str, wanted: int, low: int, high: int) -> None:
        log.warning("%s: offset %d of the store is outside of the log (%d to %d)", topic, wanted, low, high)
        if wanted > high:
            lost_place.append(topic)

    tail, replay = _beginning(store, stored)
    is_ahead = False
    for record in source.replay(offsets, on_outside):
        if lost_place:
            # The changelog is younger than the store: it was deleted. The store is a cache of nothing.
            store.wipe()
            stored, offsets, lost_place = store.stored(), {}, []
            tail, replay = _beginning(store, stored)
        is_ahead = is_ahead or (grows and record.topic == topics.seen and span_of(record.key)[1] > tail.newest)
        if is_ahead:
            continue
        offsets[record.topic] = record.offset + 1
        _take(record, topics, tail, replay)
    if lost_place:
        store.wipe()
        return End(Tail().verdict(None), None, {})
    verdict = tail.verdict(stored.position)
    replay.finish(verdict.position)
    end = End(verdict, list(replay.stale) if replay.stale or tail.is_late else None, offsets)
    if end.is_whole and offsets != stored.offsets:
        # Only what is not recorded is read again, and only a torn tail itself tells what to mend.
        store.restored(verdict.position, offsets)
    return end


def _take(record: Replayed, topics: Topics, tail: Tail, replay: _Replay) -> None:
    if record.topic == topics.seen:
        value = record.value or b"\x01"
        seen = _Seen()
        seen.read(value)
        tail.read_seen(record.key, value, seen.marks, len(seen.sessions))
        replay.take_seen(record.key, seen)
    elif is_position_key(record.key):
        if record.value is not None:
            tail.read_position(Position.read(record.value))
    else:
        replay.take_row(record.key, record.value, tail)


def _beginning(store: Store, stored: Stored) -> tuple[Tail, _Replay]:
    newest = stored.position.offset if stored.position is not None else -1
    return Tail(newest), _Replay(store, newest)


@dataclass(slots=True)
class _Seen:
    """What batches have seen, in the order in which it came.

    Attributes:
        records: of marks, still packed. marks: how many they hold.
        sessions: as they stood.
    """

    records: list[bytes] = field(default_factory=list)
    marks: int = 0
    sessions: list[SessionState] = field(default_factory=list)

    def read(self, value: bytes) -> None:
        """Add the value of a `seen` record.

        Raises:
            ValueError: it is none.
        """
        if holds_sessions(value):
            self.sessions += unpack_seen(value)[1]
        else:
            self.marks += count_marks(value)
            self.records.append(value)

    def add(self, other: _Seen) -> None:
        """Add what was seen after it."""
        self.records += other.records
        self.marks += other.marks
        self.sessions += other.sessions


class _Replay:
    """Collects a replay into chunks for the store."""

    def __init__(self, store: Store, newest: int) -> None:
        # As an ordered set: a newer version that follows mends it.
        self.stale: dict[bytes, None] = {}
        self._store = store
        self._rows: dict[bytes, bytes | None] = {}
        self._row_bytes = 0
        self._seen = _Seen()
        # What batches have seen that may be torn, by the position after them. A batch that begins at a position proves
        # that whatever ends there or before it was written, or folded again by who wrote it.
        self._waiting: dict[int, _Seen] = {}
        self._proven = newest
        self._highest = newest

    def take_row(self, key: bytes, value: bytes | None, tail: Tail) -> None:
        if value is not None:
            offset = tail.read_row(key, value)
            if offset > self._highest:
                self._highest = offset
            elif offset < self._highest and self._held_offset(key) > offset:
                self.stale[key] = None
                return
        if self.stale:
            self.stale.pop(key, None)
        self._rows[key] = value
        self._row_bytes += len(key) + len(value or b"")
        if len(self._rows) >= CHUNK_ROWS or self._row_bytes >= CHUNK_ROW_BYTES:
            self._write_rows()

    def take_seen(self, key: bytes, seen: _Seen) -> None:
        begin, end = span_of(key)
        if (begin, end) == NO_BATCH:
            # Carried over by a rebuild, from before everything: no batch of this log makes it untrue.
            self._seen.add(seen)
        elif end > self._proven:
            self._waiting.setdefault(end, _Seen()).add(seen)
            if begin > self._proven:
                self._keep_until(begin)
        # Else out of a transaction long past: what it has seen, batches before it have seen.
        if self._seen.marks >= CHUNK_MARKS or len(self._seen.sessions) >= CHUNK_SESSIONS:
            self._write_seen()

    def _keep_until(self, position: int) -> None:
        """Keep what batches have seen that end here or before it.

        A torn one among them has seen nothing untrue: its sessions stand as they did at its end. So the one with
        the later end goes last, in whatever order they came.
        """
        self._proven = max(self._proven, position)
        for end in sorted(end for end in self._waiting if end <= position):
            self._seen.add(self._waiting.pop(end))

    def finish(self, position: Position) -> None:
        """Write the rest; what a batch that ends after this position has seen is to be seen again."""
        self._keep_until(position.offset)
        self._write_rows()
        self._write_seen()

    def _write_rows(self) -> None:
        self._store.restore(self._rows, [])
        self._rows, self._row_bytes = {}, 0

    def _write_seen(self) -> None:
        self._store.restore_marks(self._seen.records)
        self._store.restore({}, [], self._seen.sessions)
        self._seen = _Seen()

    def _held_offset(self, key: bytes) -> int:
        value = self._rows[key] if key in self._rows else self._store.row(key)
        return row_offset(value) if value is not None else -1
