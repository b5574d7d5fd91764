"""What `rebuild` sees of Kafka, in memory: topics that are deleted and created again, and what is counted in them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from pipeline.batch import Position
from pipeline.changelog import Topics
from pipeline.commands import rebuild
from pipeline.commands.broker import Member, Offsets
from pipeline.commands.carrying import Carried
from pipeline.config import LineSettings, RefusedSetting

_IDS = count()


@dataclass
class MemoryKafka:
    """Stands where pipeline.commands.broker.Broker stands, and in place of what writes to it.

    Attributes:
        rows: what is in the state topics that beacons no longer gives.
        ids: of the state topics that exist.
        counted: the positions of workers. will_count: what workers make of it once they are asked for them again.
        refuses: whether it refuses to delete topics.
    """

    line: LineSettings
    rows: list[Carried] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    counted: dict[int, Position] = field(default_factory=dict)
    will_count: dict[int, Position] | None = None
    begin: Offsets = field(default_factory=lambda: {0: 0})
    end: Offsets = field(default_factory=lambda: {0: 0})
    refuses: bool = False
    asked: int = 0
    kafka: None = None
    group: str = "pipeline"
    topics: Topics = field(default_factory=lambda: Topics.of("", ""))

    def create(self) -> None:
        for name in (self.topics.windows, self.topics.seen):
            self.ids.setdefault(name, f"id-{next(_IDS)}")

    @property
    def admin(self) -> MemoryKafka:
        return self

    def delete_topics(self, names: list[str]) -> dict[str, Future[None]]:
        if self.refuses:
            raise RefusedSetting("Kafka is away")
        for name in names:
            del self.ids[name]
        self.rows, self.counted = [], {}
        done: Future[None] = Future()
        done.set_result(None)
        return dict.fromkeys(names, done)

    def members(self) -> list[Member]:
        return []

    def partitions(self, topic: str) -> list[int]:
        return [0] if topic in self.ids else []

    def topic_id(self, topic: str) -> str:
        return self.ids[topic]

    def positions(self) -> dict[int, Position]:
        self.asked += 1
        assert self.asked < 100, "somebody waits for what nobody will count"
        counted = self.counted
        self.counted = counted if self.will_count is None else self.will_count
        return counted

    def starts(self, topic: str) -> Offsets:
        return self.begin

    def ends(self, topic: str) -> Offsets:
        return self.end


def in_memory(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryKafka:
    """Return a Kafka with state topics, which `rebuild` then reads from and carries to."""
    kafka = MemoryKafka(LineSettings(data_dir=data_dir))
    kafka.create()

    def carry(_: object, carried: Iterable[Carried]) -> None:
        kafka.rows += carried

    monkeypatch.setattr(rebuild, "to_carry", lambda *_: list(kafka.rows))
    monkeypatch.setattr(rebuild, "carry", carry)
    monkeypatch.setattr(rebuild, "ensure_topics", lambda *_: kafka.create())
    return kafka
