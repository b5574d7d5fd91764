"""Every metric of ingest: plain counters on the hot path, one sentence each, read only when asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Spread:
    """Counts of durations by size."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float, times: int) -> None:
        """Count a duration, seen so many times."""
        self.counts[bisect_left(_BUCKETS, seconds)] += times
        self.total += seconds * times

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus wants them."""
        sums, so_far = [], 0
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self.counts, strict=True):
            so_far += count
            sums.append((bound, float(so_far)))
        return sums


@dataclass(slots=True, eq=False)
class Ledger:
    """What became of every request: received = answered + refused + cut + waiting, at any moment."""

    received: int = 0
    answered: int = 0
    produced: int = 0
    spooled: int = 0
    late: int = 0
    drained: int = 0
    cut: int = 0
    preflights: int = 0
    records: int = 0
    opened: int = 0
    spool_failures: int = 0
    spool_damaged: int = 0
    spool_repeated: int = 0
    spool_cut_bytes: int = 0
    clock_jumps: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    unfinished_bytes: int = 0
    connections: int = 0
    kafka_open: int = 0
    spool_bytes: int = 0
    spool_max_bytes: int = 0
    spool_since_ms: int | None = None
    refused: dict[str, int] = field(default_factory=dict)
    produce_seconds: Spread = field(default_factory=Spread)
    answer_seconds: Spread = field(default_factory=Spread)

    def refuse(self, word: str, requests: int = 1) -> None:
        """Count requests that are refused."""
        self.refused[word] = self.refused.get(word, 0) + requests


_COUNTERS = {
    "received": "Beacon requests received, whatever became of them.",
    "answered": "Beacons answered 200: kept by Kafka or the spool.",
    "produced": "Beacons answered 200 because every replica in sync had them.",
    "spooled": "Beacons answered 200 because the spool had them on disk.",
    "late": "Beacons that Kafka acknowledged after the spool had answered; they come twice, by one id.",
    "drained": "Beacons taken from a spool into Kafka.",
    "cut": "Requests whose connection was closed without an answer, because nobody knows if they are kept.",
    "preflights": "OPTIONS answered.",
    "records": "Records that Kafka acknowledged.",
    "opened": "Times the circuit to Kafka opened.",
    "spool_failures": "Writes or syncs of the spool that failed; nothing in them was answered 200.",
    "spool_damaged": "Damaged places in a spool; what was answered 200 and lay there is lost.",
    "spool_repeated": "Frames with a sequence already seen, skipped in a spool.",
    "spool_cut_bytes": "Bytes of torn tails cut when a spool was opened.",
    "clock_jumps": "Steps of the wall clock by over a second.",
}
_GAUGES = {
    "waiting": "Beacons received and not yet answered.",
    "waiting_bytes": "Bytes held for them.",
    "unfinished_bytes": "Bytes held by requests that are not whole yet.",
    "connections": "Open connections.",
    "kafka_open": "1 while the circuit is open and beacons go to the spool.",
    "spool_bytes": "Bytes in the spool.",
    "spool_max_bytes": "Bytes that the spool holds at most; past them requests are refused.",
}


class _Reader(Collector):
    def __init__(self, ledger: Ledger, now_ms: int) -> None:
        self._ledger = ledger
        self._now_ms = now_ms

    def collect(self) -> Iterator[Metric]:
        ledger = self._ledger
        for name, says in _COUNTERS.items():
            yield CounterMetricFamily(f"ingest_{name}", says, value=getattr(ledger, name))
        for name, says in _GAUGES.items():
            yield GaugeMetricFamily(f"ingest_{name}", says, value=getattr(ledger, name))
        refused = CounterMetricFamily(
            "ingest_refused", "Requests refused before any hand-over, by reason.", labels=["reason"]
        )
        for reason, requests in sorted(ledger.refused.items()):
            refused.add_metric([reason], requests)
        yield refused
        age = 0.0 if ledger.spool_since_ms is None else (self._now_ms - ledger.spool_since_ms) / 1000
        yield GaugeMetricFamily("ingest_spool_seconds", "Age of the oldest beacon in the spool.", value=age)
        for name, says, spread in (
            (
                "produce_seconds",
                "From handing a record to Kafka to its acknowledgement.",
                ledger.produce_seconds,
            ),
            ("answer_seconds", "From closing a pack to answering its requests.", ledger.answer_seconds),
        ):
            yield HistogramMetricFamily(f"ingest_{name}", says, spread.cumulative(), spread.total)


def exposition(ledger: Ledger, now_ms: int) -> str:
    """Return all metrics as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reader(ledger, now_ms))
    return generate_latest(registry).decode()
