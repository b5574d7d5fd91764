"""The worker's spans, where traces are on: opening a partition, a checkpoint, a partition given up."""

from __future__ import annotations

import os
import time

from ingest.tracing import CannotTrace, Said, Spans, spans_for
from pipeline.batch import Batch
from pipeline.config import RefusedSetting
from pipeline.metrics import WorkerMetrics


def process_spans(role: str) -> Spans:
    """Return where this process's spans go; `role` is worker or report.

    Raises:
        RefusedSetting: traces are asked for and cannot be had.
    """
    try:
        return spans_for(f"playback-{role}", os.environ)
    except CannotTrace as error:
        raise RefusedSetting(str(error)) from error


class TracedMetrics(WorkerMetrics):
    """What a worker says of itself, as metrics and as spans."""

    def __init__(self, spans: Spans) -> None:
        """Start a registry of its own."""
        super().__init__()
        self._spans = spans

    def opened(self, number: int, seconds: float) -> None:
        """Count a partition that is open now."""
        super().opened(number, seconds)
        self._spans.ended("worker.open", _began_ns(seconds), {"partition": number})

    def wrote(self, number: int, batch: Batch, seconds: float) -> None:
        """Count a checkpoint."""
        super().wrote(number, batch, seconds)
        said: Said = {
            "partition": number,
            "offset": batch.position.offset,
            "rows": len(batch.rows),
            "marks": len(batch.marks),
            "dead_letters": len(batch.dead),
        }
        self._spans.ended("worker.checkpoint", _began_ns(seconds), said)

    def given_up(self, number: int, cause: str) -> None:
        """Count a partition that was forgotten."""
        super().given_up(number, cause)
        self._spans.ended("worker.give_up", time.time_ns(), {"partition": number}, cause)


def _began_ns(seconds: float) -> int:
    return time.time_ns() - int(seconds * 1e9)
