"""Every metric of the probe, with a sentence each; /metrics shows them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline.commands.known import Outcome


class ProbeMetrics:
    """What a probe says of the line."""

    def __init__(self) -> None:
        """Start a registry of its own, with every outcome at 0: an increase is seen from the first round on."""
        self.registry = CollectorRegistry()
        self._rounds = Counter(
            "probe_rounds",
            "Known sets sent, by outcome: equal, wrong (counted, and not equal), late (not counted by the deadline), "
            "unreachable (ingest or report did not answer as they must).",
            ["outcome"],
            registry=self.registry,
        )
        self._last_equal = Gauge(
            "probe_last_equal_seconds",
            "Unix time at which the report last equalled a known set; 0: never since the probe started.",
            registry=self.registry,
        )
        self._visible = Histogram(
            "probe_visible_seconds",
            "Time from the last 200 of a known set until the report equalled it.",
            registry=self.registry,
            buckets=(0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 20, 30, 60),
        )
        for outcome in Outcome:
            self._rounds.labels(outcome)

    def visible(self, seconds: float) -> None:
        """Note how long the report took to show a set."""
        self._visible.observe(seconds)

    def ended(self, outcome: Outcome, now_s: float) -> None:
        """Count a round that ended now."""
        self._rounds.labels(outcome).inc()
        if outcome is Outcome.EQUAL:
            self._last_equal.set(now_s)
