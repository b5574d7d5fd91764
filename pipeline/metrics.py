"""Every metric of the worker, with a sentence each; /metrics shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pipeline.batch import Batch
from pipeline.partition import Partition
from pipeline.standby import Standby

# A ledger names what has happened. An alert that compares with before needs to see that this had not.
_FROM_THE_START = {"lostOffsets": 0}


class WorkerMetrics:
    """What a worker says of itself."""

    def __init__(self) -> None:
        """Start a registry of its own: several workers may live in one test process."""
        self.registry = CollectorRegistry()
        self._open_seconds = Histogram(
            "worker_open_seconds",
            "Time from taking a partition to counting it.",
            registry=self.registry,
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self._checkpoint_seconds = Histogram(
            "worker_checkpoint_seconds",
            "Time of one checkpoint: transaction and local store.",
            registry=self.registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
        )
        self._checkpoint_rows = Counter(
            "worker_checkpoint_rows", "Rows written by checkpoints.", registry=self.registry
        )
        self._checkpoint_marks = Counter(
            "worker_checkpoint_marks", "Seen marks written by checkpoints.", registry=self.registry
        )
        self._given_up = Counter(
            "worker_given_up",
            "Partitions forgotten and opened again, by cause: fenced (another owner) or doubt.",
            ["cause"],
            registry=self.registry,
        )

    def watch(self, held: Callable[[], dict[int, Partition]]) -> None:
        """Show the ledger and position of the open partitions."""
        self.registry.register(_Ledgers(held))

    def watch_standby(self, standby: Standby) -> None:
        """Show how far the copies of other workers' partitions are."""
        self.registry.register(_Copies(standby))

    def opened(self, number: int, seconds: float) -> None:
        """Count a partition that is open now."""
        self._open_seconds.observe(seconds)

    def wrote(self, number: int, batch: Batch, seconds: float) -> None:
        """Count a checkpoint."""
        self._checkpoint_seconds.observe(seconds)
        self._checkpoint_rows.inc(len(batch.rows))
        self._checkpoint_marks.inc(len(batch.marks))

    def given_up(self, number: int, cause: str) -> None:
        """Count a partition that was forgotten."""
        self._given_up.labels(cause).inc()


class _Ledgers:
    def __init__(self, held: Callable[[], dict[int, Partition]]) -> None:
        self._held = held

    def collect(self) -> Iterator[Metric]:
        beacons = CounterMetricFamily(
            "worker_beacons",
            "What became of the beacons of a partition since its beginning: beacons = unique + duplicates + "
            "unknownTypes + rejected.",
            labels=["partition", "outcome"],
        )
        position = GaugeMetricFamily(
            "worker_position",
            "Offset of the last beacon record in a written checkpoint.",
            labels=["partition"],
        )
        for number, partition in self._held().items():
            committed = partition.committed
            position.add_metric([str(number)], committed.offset)
            for outcome, total in (_FROM_THE_START | committed.ledger).items():
                beacons.add_metric([str(number), outcome], total)
        yield beacons
        yield position


class _Copies:
    def __init__(self, standby: Standby) -> None:
        self._standby = standby

    def collect(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "worker_standby_lag_seconds",
            "Time since the copy of another worker's partition last held all that was committed; +Inf: never yet.",
            labels=["partition"],
        )
        position = GaugeMetricFamily(
            "worker_standby_position",
            "Offset of the last beacon record that the copy of a partition includes.",
            labels=["partition"],
        )
        faults = CounterMetricFamily(
            "worker_standby_faults", "Rounds in which a copy could not be brought up to what was committed."
        )
        faults.add_metric([], self._standby.faults)
        for copy in self._standby.copies():
            lag.add_metric([str(copy.number)], time.monotonic() - copy.fresh_at)
            position.add_metric([str(copy.number)], copy.position)
        yield lag
        yield position
        yield faults
