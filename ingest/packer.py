"""Packs beacon lines: one record of `beacons` is what came for one partition in a few milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a pack is closed.

    Attributes:
        bytes: at this size at once; a pack is never longer than this plus one line.
        beacons: at this many at once.
        linger_seconds: at this age, at the latest.
    """

    bytes: int
    beacons: int
    linger_seconds: float


class Pack(Generic[Waiting]):
    """Lines for one partition and, one for each line, who waits for the answer."""

    __slots__ = ("lines", "partition", "size", "waiting")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.lines: list[bytes] = []
        self.waiting: list[Waiting] = []
        self.size = 0

    def value(self) -> bytes:
        """Return the value of the Kafka record."""
        return b"\n".join(self.lines)


class Packer(Generic[Waiting]):
    """Open packs, at most one a partition."""

    def __init__(self, bounds: Bounds, partitions: int) -> None:
        self._bounds = bounds
        self._partitions = partitions
        self._open: dict[int, Pack[Waiting]] = {}

    def add(self, partition: int, line: bytes, waiting: Waiting) -> Pack[Waiting] | None:
        """Put a line into its partition's pack; return the pack if that filled it."""
        pack = self._open.get(partition)
        if pack is None:
            pack = self._open[partition] = Pack(partition)
        pack.lines.append(line)
        pack.waiting.append(waiting)
        pack.size += len(line) + 1
        if pack.size < self._bounds.bytes and len(pack.lines) < self._bounds.beacons:
            return None
        return self._open.pop(partition)

    def close_all(self) -> list[Pack[Waiting]]:
        """Return every open pack; the next line opens a new one."""
        packs = list(self._open.values())
        self._open.clear()
        return packs

    def __len__(self) -> int:
        return sum(len(pack.lines) for pack in self._open.values())


def linger(bounds: Bounds, partitions: int, beacons_per_second: float) -> float:
    """Return how long to hold packs open at this load, in seconds.

    Waiting is worth it only if it brings company: while the longest wait would bring less than one more
    beacon a partition, packs leave at once, so a lone beacon is answered as fast as Kafka can. Above that
    the wait is as long as it takes to fill a pack, and never longer than the bound.
    """
    per_partition = beacons_per_second / partitions
    if per_partition * bounds.linger_seconds < 1:
        return 0.0
    return min(bounds.linger_seconds, bounds.beacons / per_partition)
