"""The report's spans, where traces are on: one a question, with its route, window, rows and outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar

from aiohttp import web

from ingest.tracing import Said, Spans
from pipeline.report.desk import Desk, Entry
from pipeline.report.front import Front, Handler, Methods
from pipeline.report.query import Query

QUESTIONS = ("/v1/report", "/query", "/v1/events")
# What the span of the question under way says; the desk, which knows no routes, adds to it.
_said: ContextVar[Said | None] = ContextVar("said", default=None)


class TracedFront(Front):
    """A front door whose questions are spans."""

    def __init__(
        self,
        api: Mapping[str, Methods],
        pages: Mapping[str, Handler],
        answered: Callable[[str, int], None],
        spans: Spans,
    ) -> None:
        super().__init__(api, pages, answered)
        self._spans = spans

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.path not in QUESTIONS:
            return await super().handle(request)
        said: Said = {"http.route": request.path, "http.request.method": request.method}
        token = _said.set(said)
        try:
            with self._spans.timed("report.query", said, request.headers.get("traceparent", "")):
                response = await super().handle(request)
                said["http.response.status_code"] = response.status
                return response
        finally:
            _said.reset(token)


class TracedDesk(Desk):
    """A desk that says what it answered, to the span of the question under way."""

    async def answer(self, query: Query, key: str) -> Entry:
        """Return the answer to a query, its body and ETag as they are now."""
        said = _said.get()
        if said is None:
            return await super().answer(query, key)
        said["report.window"] = query.shape.window.name
        said["report.seconds"] = query.until - query.since
        said["report.from_memory"] = self.held(query) is not None
        entry = await super().answer(query, key)
        said["report.rows"] = entry.rows
        return entry
