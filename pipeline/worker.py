"""The worker process: settings, topics, health pages, the line, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal

from ingest.tracing import Spans
from pipeline.app import Line
from pipeline.config import KafkaSettings, LineSettings, WorkerSettings, read_settings
from pipeline.cycles import search_rarely
from pipeline.health import serve_health
from pipeline.logs import set_up_logs
from pipeline.topics import ensure_topics
from pipeline.traced import TracedMetrics, process_spans

log = logging.getLogger(__name__)


def main() -> None:
    """Run a worker until SIGTERM or SIGINT."""
    kafka, line = read_settings(KafkaSettings), read_settings(LineSettings)
    worker = read_settings(WorkerSettings)
    set_up_logs(line.log_format)
    spans = process_spans("worker")
    for short in ensure_topics(kafka, line, worker.dedupe_horizon_s):
        log.warning("%s", short)
    try:
        asyncio.run(_run(kafka, line, worker, spans))
    finally:
        spans.close()


async def _run(kafka: KafkaSettings, line: LineSettings, worker: WorkerSettings, spans: Spans) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    parts = Line(kafka, line, worker, TracedMetrics(spans) if spans.is_on else None)
    search_rarely()
    pages = None
    if worker.port:
        pages = await serve_health(worker.host, worker.port, lambda: parts.owner.is_ready, parts.metrics.registry)
    log.info("worker %s started, group %s", worker.id, parts.group)
    await parts.run(stop)
    if pages is not None:
        await pages.cleanup()
    log.info("worker %s stopped", worker.id)
