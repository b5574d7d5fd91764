"""Traces: nothing of them where nobody asks, one line where they cannot be had, and else spans at the collector."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest.tracing import CannotTrace, Spans, spans_for
from tests.collector import collector, in_memory

REPO = Path(__file__).parents[2]
HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_traces_are_off_unless_a_collector_is_named(environment: dict[str, str]) -> None:
    spans = spans_for("s", environment)
    assert (type(spans), spans.is_on) == (Spans, False)
    with spans.timed("x", {}):
        pass
    spans.close()


def ran(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": "", "PYTHONPATH": ":".join((str(REPO), *sys.path))} | environment
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=given, cwd=REPO, capture_output=True, text=True, check=False)


def test_no_process_loads_anything_for_traces_that_are_off() -> None:
    imports = "import sys, ingest.__main__, pipeline.worker, pipeline.report.server"
    said = ran(f"{imports}\nprint([name for name in sys.modules if name.startswith('opentelemetry')])")
    assert said.stdout == "[]\n", said.stderr


@pytest.mark.parametrize(
    ("starts", "says"),
    [
        ("import ingest.__main__ as m; sys.exit(m.main())", "ingest: "),
        ("from pipeline.traced import process_spans; process_spans('worker')", ""),
    ],
)
def test_a_process_without_the_packages_says_what_to_install_and_does_not_start(
    starts: str, says: str, tmp_path: Path
) -> None:
    blocked = "import sys; sys.modules['opentelemetry'] = None; sys.argv[1:] = []\n"
    said = ran(blocked + starts, OTEL_EXPORTER_OTLP_ENDPOINT=HERE, DATA_DIR=str(tmp_path), INGEST_PORT="0")
    assert said.returncode == 1
    assert said.stderr == (
        f"{says}OTEL_EXPORTER_OTLP_ENDPOINT is set, its packages are not installed: unset it, or run: "
        "python -m pip install --require-hashes --only-binary :all: -r requirements-tracing.lock\n"
    )


def test_a_protocol_that_is_not_spoken_is_refused_by_name() -> None:
    asked = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(CannotTrace, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not spoken here: set http/protobuf"):
        spans_for("s", asked)


def test_a_span_has_its_times_what_it_says_its_fault_and_its_parent() -> None:
    spans, kept = in_memory()
    began = time.time_ns() - 5_000_000_000
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    spans.ended("done", began, {"rows": 3}, parent=parent)
    with pytest.raises(KeyError), spans.timed("failed", {}) as said:
        said["more"] = True
        raise KeyError("x")
    done, failed = kept.get_finished_spans()
    assert done.start_time == began
    assert 5e9 <= (done.end_time or 0) - began < 65e9
    assert (done.name, dict(done.attributes or {}), done.status.is_ok) == ("done", {"rows": 3}, True)
    assert done.parent is not None
    assert f"{done.parent.trace_id:032x}" == parent.split("-")[1]
    assert (failed.name, dict(failed.attributes or {})) == ("failed", {"more": True})
    assert (failed.status.is_ok, failed.status.description) == (False, "KeyError")


async def test_spans_come_to_the_collector_under_the_services_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.tracing.CLOSE_S", 30)
    async with collector() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        for name, environment in (("playback-x", {}), ("mine", {"OTEL_SERVICE_NAME": "mine"})):
            for key, value in environment.items():
                monkeypatch.setenv(key, value)
            spans = spans_for("playback-x", {"OTEL_EXPORTER_OTLP_ENDPOINT": there.url} | environment)
            spans.ended(f"of {name}", time.time_ns(), {})
            await asyncio.to_thread(spans.close)
    assert there.spans == [("playback-x", "of playback-x"), ("mine", "of mine")]


def test_a_collector_that_is_away_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    spans = spans_for("s", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    began = time.monotonic()
    spans.ended("lost", time.time_ns(), {})
    assert time.monotonic() - began < 1
    spans.close()
    assert time.monotonic() - began < 30
