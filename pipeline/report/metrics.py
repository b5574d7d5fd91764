"""The report's own metrics, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pipeline.report.access import Access
from pipeline.report.desk import Desk
from pipeline.report.live import Live


class Numbers:
    """Counts what the report does; reads the rest where it is kept."""

    def __init__(self, desk: Desk, access: Access, live: Live) -> None:
        self._desk = desk
        self._access = access
        self._live = live
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "report_answers", "Answers by route and status", ["route", "status"], registry=self.registry
        )
        self._answered: dict[tuple[str, int], Callable[[], None]] = {}
        self.registry.register(self)

    def answered(self, route: str, status: int) -> None:
        """Count an answer."""
        count = self._answered.get((route, status))
        if count is None:
            count = self._answered.setdefault((route, status), self.answers.labels(route, str(status)).inc)
        count()

    def page(self) -> bytes:
        """Return the metrics page."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what others keep."""
        counts, applied, counted = self._desk.counts, self._desk.applied, self._desk.counted
        yield CounterMetricFamily("report_cache_hits", "Answers from memory", counts.hits)
        yield CounterMetricFamily("report_cache_misses", "Answers from SQLite", counts.misses)
        yield CounterMetricFamily("report_busy", "Questions refused because too many were waiting", counts.busy)
        yield CounterMetricFamily("report_rows_applied", "Rows written into the store", counts.rows)
        yield CounterMetricFamily("report_unreadable_records", "Records of another catalog", counts.unreadable)
        yield CounterMetricFamily("report_wrong_keys", "Keys that did not fit", self._access.refused)
        yield GaugeMetricFamily("report_streams", "Open /v1/live streams", self._live.readers)
        yield GaugeMetricFamily("report_ready", "The topic was read to its end", int(self._desk.ready()))
        yield GaugeMetricFamily("report_revision", "Batches in the store's life", applied.revision if applied else 0)
        if counted.through is not None:
            age = time.time() - counted.through / 1000
            yield GaugeMetricFamily("report_counted_through_age_seconds", "Now less countedThrough", age)
        if counted.newest is not None and applied is not None:
            lags = counted.newest.lags(applied.positions)
            yield GaugeMetricFamily("report_records_behind", "Beacon records not counted yet", sum(lags.values()))
            each = GaugeMetricFamily("report_partition_records_behind", "The same by partition", labels=["partition"])
            for partition, lag in lags.items():
                each.add_metric([str(partition)], lag)
            yield each
