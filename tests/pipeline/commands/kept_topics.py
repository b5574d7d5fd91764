"""Topics in memory that a Putter puts into and reads from, as its broker and its producers; records can be removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from pipeline.commands.broker import Offsets

BEACONS, IMPORTS = "beacons", "imports"


class KeptTopics:
    """A broker of one line: each partition is a list of records, and how many of them were removed."""

    def __init__(self, partitions: int) -> None:
        self.clock_ms = 1_795_000_000_000
        self.kafka = SimpleNamespace(librdkafka=dict)
        self.line = SimpleNamespace(topic_prefix="", replication=1)
        self.topics = SimpleNamespace(beacons=BEACONS)
        self.records: dict[str, dict[int, list[tuple[bytes, bytes, int]]]] = {
            BEACONS: {part: [] for part in range(partitions)},
            IMPORTS: {0: []},
        }
        self.removed: defaultdict[tuple[str, int], int] = defaultdict(int)

    def remove_all(self, topic: str) -> None:
        for part, end in self.ends(topic).items():
            self.removed[topic, part] = end

    def lines(self) -> list[bytes]:
        """Return every line that ever was put into `beacons`, removed or not."""
        return [line for kept in self.records[BEACONS].values() for _, value, _ in kept for line in value.split(b"\n")]

    # -- as a Broker

    def partitions(self, topic: str) -> list[int]:
        return list(self.records[topic])

    def starts(self, topic: str) -> Offsets:
        return {part: self.removed[topic, part] for part in self.records[topic]}

    def ends(self, topic: str, committed: bool = False) -> Offsets:
        return {part: len(kept) for part, kept in self.records[topic].items()}

    def at(self, topic: str, time_ms: int) -> Offsets:
        found = {}
        for part, kept in self.records[topic].items():
            late = [at for at, record in enumerate(kept) if at >= self.removed[topic, part] and record[2] >= time_ms]
            found[part] = late[0] if late else len(kept)
        return found

    def read(self, topic: str, begin: Offsets, end: Offsets) -> Iterator[list[Any]]:
        for part, kept in self.records[topic].items():
            assert begin[part] >= self.removed[topic, part]
            yield [_Message(*record) for record in kept[begin[part] : end[part]]]


class _Message:
    def __init__(self, key: bytes, value: bytes, time_ms: int) -> None:
        self.key, self.value, self.timestamp = lambda: key, lambda: value, lambda: (2, time_ms)


class KeptProducer:
    """Writes into the topics at once."""

    def __init__(self, kept: KeptTopics) -> None:
        self._kept = kept

    def produce(self, topic: str, value: bytes, key: bytes | None, part: int, on_delivery: object = None) -> None:
        self._kept.records[topic][part].append((key or b"", value, self._kept.clock_ms))

    def flush(self, timeout_s: float) -> int:
        return 0

    def init_transactions(self, timeout_s: float) -> None: ...

    def begin_transaction(self) -> None: ...

    def commit_transaction(self, timeout_s: float) -> None: ...
