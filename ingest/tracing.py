"""OpenTelemetry traces, where OTEL_EXPORTER_OTLP_ENDPOINT is set; else nothing of it is loaded and nothing is done.

A span for what is worth looking at one by one, never for a beacon. The SDK reads its other variables itself
(OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS ...).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
INSTALL = "python -m pip install --require-hashes --only-binary :all: -r requirements-tracing.lock"
# A collector that does not answer must not hold up the end of a process.
CLOSE_S = 2.0

# What a span says: strings, numbers and truths by name.
Said = dict[str, str | int | float | bool]


class CannotTrace(Exception):
    """Traces are asked for and cannot be had; the message is a line for the operator."""


class Spans:
    """Where finished spans go: here nowhere, as nobody asked for traces."""

    is_on = False

    def ended(self, name: str, began_ns: int, said: Said, fault: str = "", parent: str = "") -> None:
        """Take a span that ends now.

        Args:
            name: of what was done.
            began_ns: Unix ns.
            said: what is to be known of it.
            fault: what went wrong; "" for nothing.
            parent: the W3C traceparent of whoever asked for it; "" for nobody.
        """

    @contextmanager
    def timed(self, name: str, said: Said, parent: str = "") -> Iterator[Said]:
        """Time what happens inside as a span; more may be put into `said` until it ends."""
        began_ns = time.time_ns() if self.is_on else 0
        try:
            yield said
        except BaseException as fault:
            self.ended(name, began_ns, said, type(fault).__name__, parent)
            raise
        self.ended(name, began_ns, said, parent=parent)

    def close(self) -> None:
        """Send what is left. Blocks, not for long."""


class Exported(Spans):
    """Finished spans go to a tracer of the SDK, whose own thread sends them."""

    is_on = True

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace import Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("playback-analytics")
        self._parent = TraceContextTextMapPropagator().extract
        self._status: Any = Status
        self._error = StatusCode.ERROR

    def ended(self, name: str, began_ns: int, said: Said, fault: str = "", parent: str = "") -> None:
        """Take a span that ends now."""
        context = self._parent({"traceparent": parent}) if parent else None
        span = self._tracer.start_span(name, context, attributes=said, start_time=began_ns)
        if fault:
            span.set_status(self._status(self._error, fault))
        span.end()

    def close(self) -> None:
        """Send what is left. Blocks, not for long."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def spans_for(service: str, environment: Mapping[str, str]) -> Spans:
    """Return where a process's spans go.

    Args:
        service: its name, where neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES says one.
        environment: of the process.

    Raises:
        CannotTrace: traces are asked for, and their packages are not there or their protocol is not spoken.
    """
    asked = next((name for name in ENDPOINTS if environment.get(name)), None)
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if asked is None or is_off or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return Spans()
    for name in PROTOCOLS:
        if environment.get(name, "http/protobuf") != "http/protobuf":
            raise CannotTrace(
                f"{name}={environment[name]} is not spoken here: set http/protobuf, and in {asked} its port (4318)"
            )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise CannotTrace(f"{asked} is set, its packages are not installed: unset it, or run: {INSTALL}") from error
    is_named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    named = {} if is_named else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Exported(provider)
