"""A partition that is open here: its state, its store, its changelog, and how they are opened and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.changelog import Changelog, Topics
from pipeline.opening import open_partition
from pipeline.partition import Partition
from pipeline.rows import Rules
from pipeline.store import Store


@dataclass(slots=True)
class Owned:
    """A partition that is open here.

    Attributes:
        topic_id: of the beacons topic that its offsets are of.
        acks: (offset, acknowledge) of events not yet in a written checkpoint.
        writing: the checkpoint under way.
        sought: the offset that was not in the log when it was last asked for.
        due: when its next checkpoint is to begin, by the monotonic clock.
    """

    partition: Partition
    store: Store
    changelog: Changelog
    topic_id: str
    acks: list[tuple[int, Callable[[], Any]]] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None
    sought: int = -1
    due: float = 0.0

    def begins(self, now: float, every_s: float) -> None:
        """Take notice that a checkpoint begins: the next is due on the beat, half a beat to one and a half from now.

        So one that is late or early moves no later one, a worker that is behind writes no more often, and what comes
        to a partition that was idle is due at once.
        """
        self.due += every_s * max(0, 1 + round((now - self.due) / every_s))

    def close(self, damaged: bool = False) -> None:
        """Let store and changelog go, nothing left of a damaged store. Blocks."""
        try:
            if damaged:
                self.store.wipe()
            self.store.close()
        finally:
            self.changelog.close()


def free_beat(dues: Iterable[float], now: float, every_s: float) -> float:
    """Return when the first checkpoint of a partition is due, beside others that are due then: within a beat.

    In the middle of the widest gap between their beats: at one moment for all they would hold up the loop, Kafka and
    the report together.
    """
    beats = sorted(due % every_s for due in dues)
    if not beats:
        return now
    begin, end = max(pairwise([*beats, beats[0] + every_s]), key=lambda gap: gap[1] - gap[0])
    return now + ((begin + end) / 2 - now) % every_s


@dataclass(frozen=True, slots=True)
class Place:
    """Where the owner reads and writes.

    Attributes:
        kafka: connection part of a librdkafka configuration.
        group: name of the consumer group; transactional ids are made from it.
        state_dir: folder of the stores.
        topic_id: asks Kafka for the id of a topic; blocks.
        checkpoint_s: between two checkpoints of a partition.
        checkpoint_cells: changed cells that force one, as Partition.changed_cells counts them.
    """

    kafka: dict[str, Any]
    topics: Topics
    group: str
    state_dir: Path
    topic_id: Callable[[str], str]
    checkpoint_s: float
    checkpoint_cells: int

    def store_path(self, number: int) -> Path:
        """Return the folder of a partition's store. Blocks.

        By the id of its changelog: a store of topics that were deleted is never taken for one of the new ones.

        Raises:
            Lost: Kafka did not answer.
        """
        return self.state_dir / self.topic_id(self.topics.windows) / str(number)


def open_owned(number: int, place: Place, rules: Rules) -> Owned:
    """Open a partition, fencing whoever held it. Blocks.

    Raises:
        Lost: Kafka did not answer, or another owner took the partition.
        Refused: the operator must act.
    """
    changelog = Changelog(place.kafka, place.topics, f"{place.group}-{number}", number)
    try:
        topic_id = place.topic_id(place.topics.beacons)
        partition, store = open_partition(number, place.store_path(number), changelog, place.topics, rules, topic_id)
    except BaseException:
        changelog.close()
        raise
    return Owned(partition, store, changelog, topic_id)
