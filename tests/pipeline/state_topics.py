"""The state topics of one partition in memory, with the semantics that matter: for tests only.

A commit is atomic; an epoch fences earlier writers; an aborted transaction leaves a hole in the offsets. On request a
transaction is torn, or part of it comes late, as a client without KIP-890 may see it (reliability.md 1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import orjson

from pipeline.batch import (
    MARKS_PER_RECORD,
    Batch,
    Position,
    is_position_key,
    pack_marks,
    pack_sessions,
    position_key,
    unpack_seen,
)
from pipeline.changelog import Lost, Topics
from pipeline.replay import OnOutside, Replayed, places_to_read

Record = tuple[str, bytes, bytes | None]
TOPICS = Topics.of("")


class Fault(Enum):
    """What happens to the next transaction."""

    NONE = auto()
    ABORTED = auto()  # nothing of it is written; the writer is told that it failed
    UNKNOWN = auto()  # all of it is written; the writer is told nothing


@dataclass
class StateTopics:
    """What Kafka holds of one partition's state.

    Attributes:
        logs: by topic, offset with key and value; offsets have holes where transactions ended.
        fault: of the next transaction.
        torn: which records of the next transaction are written; the writer is told nothing. None: not torn.
        held: records that may come late.
    """

    partition: int = 0
    logs: dict[str, list[tuple[int, bytes, bytes | None]]] = field(
        default_factory=lambda: {TOPICS.seen: [], TOPICS.windows: [], TOPICS.rejected: []}
    )
    ends: dict[str, int] = field(default_factory=lambda: {TOPICS.seen: 0, TOPICS.windows: 0, TOPICS.rejected: 0})
    epoch: int = 0
    fault: Fault = Fault.NONE
    torn: Callable[[list[Record]], list[Record]] | None = None
    seen_first: bool = True

    def append(self, records: list[Record]) -> dict[str, int]:
        """Write records, then one marker to each topic touched; return the offset after the last of each topic."""
        after: dict[str, int] = {}
        for topic, key, value in records:
            self.logs[topic].append((self.ends[topic], key, value))
            self.ends[topic] += 1
            after[topic] = self.ends[topic]
        for topic in after:
            self.ends[topic] += 1
        return after

    def abort(self, records: list[Record]) -> None:
        """Take the offsets of records that nobody will see."""
        for topic, _, _ in records:
            self.ends[topic] += 1

    def compact(self) -> None:
        """Keep the last record of each key of `windows`, and no tombstone, as Kafka may at any time."""
        last = {key: offset for offset, key, _ in self.logs[TOPICS.windows]}
        self.logs[TOPICS.windows] = [
            record for record in self.logs[TOPICS.windows] if last[record[1]] == record[0] and record[2] is not None
        ]

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Return first and end offset of each state topic; compaction moves no beginning."""
        return {
            topic: (self.logs[topic][0][0] if self.logs[topic] and topic == TOPICS.seen else 0, self.ends[topic])
            for topic in (TOPICS.seen, TOPICS.windows)
        }

    def delete(self) -> None:
        """Forget everything, as topics deleted and created again."""
        for topic in self.logs:
            self.logs[topic], self.ends[topic] = [], 0

    def rows(self) -> dict[bytes, dict[str, int]]:
        """Return every row as a late reader of `windows` knows it."""
        rows: dict[bytes, dict[str, int]] = {}
        for _, key, value in self.logs[TOPICS.windows]:
            if is_position_key(key):
                continue
            rows.pop(key, None)
            if value is not None:
                rows[key] = orjson.loads(value)
        return rows

    def position(self) -> Position:
        """Return the last position row."""
        values = [value for _, key, value in self.logs[TOPICS.windows] if is_position_key(key) and value is not None]
        return Position.read(values[-1]) if values else Position()

    def marks(self) -> set[bytes]:
        """Return the identities that have a mark."""
        return {mark[0] for _, _, value in self.logs[TOPICS.seen] for mark in unpack_seen(value or b"\x01")[0]}

    def letters(self) -> list[dict[str, object]]:
        """Return the dead letters."""
        return [orjson.loads(value or b"{}") for _, _, value in self.logs[TOPICS.rejected]]


def records_of(batch: Batch, partition: int = 0) -> list[Record]:
    """Return what a checkpoint writes, in order."""
    position = batch.position
    key = b"%d-%d" % (position.previous, position.offset)
    return [
        *((TOPICS.windows, row_key, value) for row_key, value in batch.rows),
        *((TOPICS.windows, row_key, None) for row_key in batch.expired),
        *((TOPICS.rejected, reason, value) for reason, value in batch.dead),
        *(
            (TOPICS.seen, key, pack_marks(batch.marks[start : start + MARKS_PER_RECORD]))
            for start in range(0, len(batch.marks), MARKS_PER_RECORD)
        ),
        *([(TOPICS.seen, key, pack_sessions(batch.sessions))] if batch.sessions else []),
        (TOPICS.windows, position_key(partition), position.value()),
    ]


class MemoryChangelog:
    """Stands where pipeline.changelog.Changelog stands."""

    def __init__(self, kafka: StateTopics) -> None:
        self.kafka = kafka
        self.closed = False
        self._epoch = -1
        self._next: dict[str, int] = {}
        self._lost = False

    def fence(self, timeout_s: float = 30.0) -> None:
        self.kafka.epoch += 1
        self._epoch = self.kafka.epoch

    def go_on_from(self, offsets: dict[str, int]) -> None:
        self._next = dict(offsets)

    def commit(self, batch: Batch, timeout_s: float = 20.0) -> dict[str, int]:
        assert not self._lost, "a changelog is used again after an error"
        kafka, records = self.kafka, records_of(batch, self.kafka.partition)
        if self._epoch != kafka.epoch:
            self._lost = True
            raise Lost("fenced", fenced=True)
        fault, kafka.fault = kafka.fault, Fault.NONE
        torn, kafka.torn = kafka.torn, None
        if torn is not None:
            kafka.append(torn(records))
        elif fault is Fault.ABORTED:
            kafka.abort(records)
        else:
            self._next |= {topic: after for topic, after in kafka.append(records).items() if topic != TOPICS.rejected}
        if torn is not None or fault is not Fault.NONE:
            self._lost = True
            raise Lost("commit: unknown")
        return dict(self._next)

    def replay(self, offsets: dict[str, int], on_outside: OnOutside) -> Iterator[Replayed]:
        kafka = self.kafka
        topics = [TOPICS.seen, TOPICS.windows]
        starts = places_to_read(offsets, kafka.bounds(), on_outside)
        for topic in topics if kafka.seen_first else reversed(topics):
            for offset, key, value in kafka.logs[topic]:
                if offset >= starts[topic]:
                    yield Replayed(topic, offset, key, value)

    def close(self) -> None:
        self.closed = True


class MemoryReader:
    """Stands where pipeline.standby.CopyReader stands.

    Attributes:
        meanwhile: happens once, after rows are read and before marks are.
        faults: raised by the next replays.
    """

    def __init__(self, kafka: Mapping[int, StateTopics]) -> None:
        self.kafka = kafka
        self.meanwhile: Callable[[], object] | None = None
        self.faults: list[Exception] = []
        self.closed = False

    def replay(self, partition: int, offsets: dict[str, int], on_outside: OnOutside) -> Iterator[Replayed]:
        if self.faults:
            raise self.faults.pop(0)
        kafka = self.kafka[partition]
        starts = places_to_read(offsets, kafka.bounds(), on_outside)
        for topic in (TOPICS.windows, TOPICS.seen):
            for offset, key, value in list(kafka.logs[topic]):
                if offset >= starts[topic]:
                    yield Replayed(topic, offset, key, value)
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()

    def close(self) -> None:
        self.closed = True
