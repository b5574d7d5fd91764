"""A worker's owner with all around it in memory: beacons, state topics, a fetch on request."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline import owner as owner_module
from pipeline.fetch import Records
from pipeline.metrics import WorkerMetrics
from pipeline.opening import open_partition
from pipeline.owned import Owned, Place
from pipeline.owner import Owner
from pipeline.rows import Rules
from pipeline.standby import Standby
from tests.pipeline.life import RULES, TOPIC_ID, Sent, Table, records, table_of, truth
from tests.pipeline.state_topics import TOPICS, MemoryChangelog, MemoryReader, StateTopics

PLAYS = [Sent(index=n, entry=f"e{n % 3}") for n in range(12)]
TRUTH = truth([PLAYS])


class MemoryFetch:
    """Stands where pipeline.fetch.Fetch stands: gives what a test asks it to give.

    Attributes:
        logs: records of topic beacons, by partition.
        lost: offsets that Kafka does not give any more, by partition.
        starts: every start asked for, in order.
    """

    def __init__(self, logs: dict[int, list[bytes]]) -> None:
        self.logs = logs
        self.lost: set[tuple[int, int]] = set()
        self.starts: list[tuple[int, int]] = []
        self.next: dict[int, int] = {}
        self.out_of_range: set[int] = set()
        self.silent = False
        self._lows: dict[int, int] = {}
        self._requests: dict[int, int] = {}

    def start(self, partition: int, offset: int) -> None:
        self.next[partition] = offset
        self.starts.append((partition, offset))
        self._requests[partition] = self.request(partition) + 1

    def stop(self, partition: int) -> None:
        self.next.pop(partition, None)

    def request(self, partition: int) -> int:
        return self._requests.get(partition, 0)

    def retain_from(self, partition: int, offset: int) -> None:
        """Let retention take what lies before an offset."""
        self._lows[partition] = offset

    def low(self, partition: int) -> int:
        if self.silent:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return self._lows.get(partition, 0)

    def take(self, partition: int, most: int = 1_000_000) -> Records | None:
        """Return what a fetch brings of one partition; None if nothing is there or nobody asked."""
        at = self.next.get(partition)
        if at is None:
            return None
        if not self._lows.get(partition, 0) <= at <= len(self.logs[partition]):
            self.out_of_range.add(partition)
            return None
        found = Records(self.request(partition), at)
        for offset in range(at, min(len(self.logs[partition]), at + most)):
            if (partition, offset) not in self.lost:
                found.items.append((offset, self.logs[partition][offset]))
                found.offset = offset
            self.next[partition] = offset + 1
        return found if found.items else None


@dataclass
class World:
    """Kafka in memory and the workers over it.

    Attributes:
        acks: offsets that were acknowledged, by partition.
        opened: every partition opened, in order.
        open_faults: raised by the next openings.
        gate: openings wait for it.
        checkpoint_s: between two checkpoints of a partition; next to nothing: there is one whenever the owner is asked.
    """

    base: Path
    logs: dict[int, list[bytes]] = field(default_factory=dict)
    kafka: dict[int, StateTopics] = field(default_factory=dict)
    rules: Rules = RULES
    acks: dict[int, list[int]] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    open_faults: list[Exception] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    opening_now: int = 0
    most_at_once: int = 0
    checkpoint_s: float = 1e-9
    checkpoint_cells: int = 1_000_000
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    def add(self, partition: int, *sent: Sent) -> None:
        """Append beacons to a partition, a record each."""
        self.logs.setdefault(partition, []).extend(records([[one] for one in sent]))
        self.kafka.setdefault(partition, StateTopics(partition))

    def worker(self, name: str = "a") -> Worker:
        """Return a new worker."""
        fetch = MemoryFetch(self.logs)
        place = Place(
            {}, TOPICS, "g", self.base / name, lambda topic: TOPIC_ID, self.checkpoint_s, self.checkpoint_cells
        )
        metrics = WorkerMetrics()
        owner = Owner(place, self.rules, fetch, metrics)  # type: ignore[arg-type]
        reader = MemoryReader(self.kafka)
        standby = Standby(place, self.rules.dedupe_horizon_s, lambda: owner.is_ready, lambda _: reader)  # type: ignore[arg-type, return-value]
        return Worker(self, fetch, metrics, owner, standby, reader)

    def open_owned(self, number: int, place: Place, rules: Rules) -> Owned:
        """Stand where pipeline.owned.open_owned stands."""
        with self._lock:
            self.opening_now += 1
            self.most_at_once = max(self.most_at_once, self.opening_now)
        try:
            self.gate.wait(10)
            if self.open_faults:
                raise self.open_faults.pop(0)
            changelog = MemoryChangelog(self.kafka[number])
            path = place.store_path(number)
            partition, store = open_partition(number, path, changelog, TOPICS, rules, place.topic_id(TOPICS.beacons))  # type: ignore[arg-type]
        finally:
            with self._lock:
                self.opening_now -= 1
        self.opened.append(number)
        return Owned(partition, store, changelog, TOPIC_ID)  # type: ignore[arg-type]

    def table(self, partition: int = 0) -> Table:
        """Return a partition's table as a reader of `windows` knows it."""
        return table_of(self.kafka[partition].rows())

    def ledger(self, partition: int = 0) -> dict[str, int]:
        """Return a partition's written ledger."""
        return self.kafka[partition].position().ledger


@dataclass
class Worker:
    """One worker of a world."""

    world: World
    fetch: MemoryFetch
    metrics: WorkerMetrics
    owner: Owner
    standby: Standby
    reader: MemoryReader

    async def assigned(self, *partitions: int) -> None:
        """Be assigned these partitions, and wait until they are open."""
        await self.owner.assign(partitions)
        await until(lambda: set(self.owner.held()) == set(partitions))

    async def give(self, partition: int, found: Records | None) -> None:
        """Hand records to the owner, as the agent does."""
        if found is not None:
            acks = self.world.acks.setdefault(partition, [])
            await self.owner.take(partition, found, lambda: acks.append(found.offset))

    async def pump(self, partition: int = 0, most: int = 1_000_000) -> None:
        """Fetch once and hand it over."""
        await self.give(partition, self.fetch.take(partition, most))

    async def written(self) -> None:
        """Write a checkpoint of everything and wait for it."""
        self.owner.checkpoint()
        await self.idle()

    async def idle(self) -> None:
        """Wait until no checkpoint is under way."""
        await until(lambda: all(owned.writing is None for owned in self.owner._open.values()))

    async def caught_up(self, partition: int = 0) -> None:
        """Go on as a worker does until everything is counted and written."""
        last = len(self.world.logs[partition]) - 1

        async def turn() -> bool:
            await self.pump(partition)
            await self.owner.follow_retention()
            await self.written()
            held = self.owner.held().get(partition)
            return held is not None and held.committed.offset == last and not held.is_dirty

        await until_done(turn)

    def wipe(self) -> None:
        """Lose the local state; only when nothing is open."""
        shutil.rmtree(self.world.base / "a", ignore_errors=True)

    def given_up(self, cause: str) -> float:
        """Return how often a partition was given up for a cause."""
        return self.metrics.registry.get_sample_value("worker_given_up_total", {"cause": cause}) or 0.0


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions of objects that signal nothing
            await asyncio.sleep(0.001)


async def until_done(turn: Callable[[], Any], seconds: float = 60) -> None:
    """Take turns until one says that it was the last."""
    async with asyncio.timeout(seconds):
        while not await turn():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def in_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let owners open their partitions in this world, and try again at once."""
    monkeypatch.setattr(owner_module, "open_owned", world.open_owned)
    monkeypatch.setattr(owner_module, "REOPEN_FIRST_S", 0.005)
    monkeypatch.setattr(owner_module, "REOPEN_MOST_S", 0.01)
