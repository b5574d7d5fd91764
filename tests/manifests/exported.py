"""Every series that a process of the line shows at /metrics, with its labels: asked of the code, not copied from it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ingest.answers import Refused
from ingest.metrics import Ledger, exposition
from pipeline.commands.probe_metrics import ProbeMetrics
from pipeline.metrics import WorkerMetrics
from pipeline.report.desk import Counts
from pipeline.report.metrics import Numbers
from pipeline.standby import Copy

Series = dict[str, dict[str, set[str]]]


def _ingest() -> str:
    return exposition(Ledger(refused={reason.word: 1 for reason in Refused}, spool_since_ms=0), 1)


def _worker() -> str:
    metrics = WorkerMetrics()
    outcomes = ("beacons", "unique", "duplicates", "unknownTypes", "rejected", "expired", "lostOffsets")
    ledger = dict.fromkeys((*outcomes, "rejected.notJson", "badValues.bufferTime"), 1)
    partition: Any = SimpleNamespace(committed=SimpleNamespace(offset=1, ledger=ledger))
    metrics.watch(lambda: {0: partition})
    standby: Any = SimpleNamespace(faults=1, copies=lambda: [Copy(1)])
    metrics.watch_standby(standby)
    for cause in ("fenced", "doubt"):
        metrics.given_up(0, cause)
    return generate_latest(metrics.registry).decode()


def _report() -> str:
    asked = SimpleNamespace(lags=lambda positions: {0: 0})
    desk: Any = SimpleNamespace(
        counts=Counts(),
        applied=SimpleNamespace(revision=1, positions={}),
        counted=SimpleNamespace(through=1, newest=asked),
        ready=lambda: True,
    )
    access: Any = SimpleNamespace(refused=0)
    live: Any = SimpleNamespace(readers=0)
    numbers = Numbers(desk, access, live)
    for status in (200, 500):
        numbers.answered("/v1/report", status)
    return numbers.page().decode()


def series() -> Series:
    """Return the values of every label of every series."""
    found: Series = {}
    for text in (_ingest(), _worker(), _report(), generate_latest(ProbeMetrics().registry).decode()):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found
