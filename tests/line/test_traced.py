"""What is a span: a question to the report, opening and checkpoints of a worker, a drain and an outage of ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ingest.tracing import Spans
from pipeline.batch import Batch, Position
from pipeline.traced import TracedMetrics
from tests.collector import in_memory
from tests.line.ingest_line import FakeKafka, ingest_line, sent, until
from tests.line.report_stage import T, report


def said(kept: InMemorySpanExporter) -> list[tuple[str, dict[str, Any]]]:
    return [(span.name, dict(span.attributes or {})) for span in kept.get_finished_spans()]


async def test_a_question_is_a_span_with_its_route_window_rows_and_outcome(tmp_path: Path) -> None:
    spans, kept = in_memory()
    asked = f"/v1/report?window=1m&by=entry&from={T}&to={T + 3600}"
    async with report(tmp_path, spans=spans) as stage:
        for entry in ("a", "b"):
            stage.play("7", entry, T, 1)
        await stage.checkpoint()
        for _ in range(2):
            assert (await stage.get(asked)).status == 200
        assert (await stage.get("/v1/report?window=2m")).status == 400
        assert (await stage.get("/health")).status == 200
    first, second, refused = said(kept)
    told = {
        "http.route": "/v1/report",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "report.window": "1m",
        "report.seconds": 3600,
        "report.rows": 2,
    }
    assert first == ("report.query", told | {"report.from_memory": False})
    assert second == ("report.query", told | {"report.from_memory": True})
    assert refused[1]["http.response.status_code"] == 400


async def test_a_report_without_traces_is_made_of_what_knows_none(tmp_path: Path) -> None:
    async with report(tmp_path, spans=Spans()) as stage:
        assert (type(stage.site.desk).__name__, type(stage.site.front).__name__) == ("Desk", "Front")


def test_a_worker_has_a_span_for_each_opening_checkpoint_and_partition_given_up() -> None:
    spans, kept = in_memory()
    metrics = TracedMetrics(spans)
    metrics.opened(3, 1.5)
    metrics.wrote(3, Batch([(b"k", b"v")] * 2, [], [], [], [(b"r", b"l")], Position(offset=9)), 0.25)
    metrics.given_up(3, "fenced")
    assert said(kept) == [
        ("worker.open", {"partition": 3}),
        ("worker.checkpoint", {"partition": 3, "offset": 9, "rows": 2, "marks": 0, "dead_letters": 1}),
        ("worker.give_up", {"partition": 3}),
    ]
    lasted = [round(((span.end_time or 0) - (span.start_time or 0)) / 1e9, 1) for span in kept.get_finished_spans()]
    assert lasted[0] >= 1.5
    assert lasted[1] >= 0.2
    # The registry counts as without traces.
    assert metrics.registry.get_sample_value("worker_checkpoint_rows_total") == 2


async def test_an_outage_of_kafka_and_the_drain_after_it_are_spans_and_no_beacon_is(tmp_path: Path) -> None:
    spans, kept = in_memory()
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, spans=spans, ingest_answer_ms=9000) as line:
        await sent(line, 1, 20)
        kafka.away = False
        await until(lambda: len(kafka.beacons()) == 20)
        await until(lambda: len(said(kept)) >= 2)
    found = dict(said(kept))
    assert sorted(found) == ["ingest.drain", "ingest.without_kafka"]
    assert found["ingest.drain"]["beacons"] == 20
    assert found["ingest.without_kafka"]["spool_bytes"] > 0
