"""GET /v1/live: one answer as server-sent events, resumed where the client stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web

from pipeline.report import headers
from pipeline.report.access import Access
from pipeline.report.live import Channel, Live, Version, event
from pipeline.report.problem import Problem, Refused, bad_value
from pipeline.report.routes import Api
from pipeline.report.words import Format

log = logging.getLogger(__name__)

Joining = asyncio.Task[Channel]

# A reader that takes nothing for this long is cut off; until then it costs one event and the socket's buffer.
SLOW_SECONDS = 30.0
MOST_LIVE_ROWS = 5000

FULL = Problem(
    429,
    "too-many-streams",
    "Too many open streams.",
    "Close one, or use one stream for several entries.",
    headers={"Retry-After": "5"},
)


@dataclass(slots=True)
class Streams:
    """Open streams, and how many there may be."""

    api: Api
    access: Access
    live: Live
    per_key: int
    most: int
    heartbeat_seconds: float
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    by_key: Counter[str] = field(default_factory=Counter)
    _joining: set[Joining] = field(default_factory=set)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer /v1/live."""
        caller = self.access.caller(request)
        rates = self.access.take(caller)
        still = partial(self.access.still, caller, self.access.signed_in(request))
        asked = self.api.asked(request, caller, "")
        if asked.shape.format is not Format.JSON:
            raise bad_value("format", "csv", "A stream is JSON.")
        if asked.shape.limit > MOST_LIVE_ROWS:
            raise bad_value("limit", str(asked.shape.limit), f"A stream shows {MOST_LIVE_ROWS} rows at most.")
        if self.by_key.total() >= self.most or (caller.key and self.by_key[caller.key] >= self.per_key):
            raise Refused(FULL)
        self.by_key[caller.key] += 1
        joining = asyncio.create_task(self.live.join(asked))
        self._joining.add(joining)
        try:
            return await self._stream(request, still, joining, rates)
        finally:
            self._leave(joining)
            self.by_key[caller.key] -= 1
            self.by_key += Counter()

    def _leave(self, joining: Joining) -> None:
        self._joining.discard(joining)
        if not joining.cancel() and not joining.cancelled() and joining.exception() is None:
            self.live.leave(joining.result())

    async def _stream(
        self, request: web.BaseRequest, still: Callable[[], bool], joining: Joining, rates: dict[str, str]
    ) -> web.StreamResponse:
        await asyncio.wait((joining,), timeout=self.heartbeat_seconds)
        if joining.done() and not joining.cancelled():
            # Nothing is sent yet: a refusal is an answer.
            joining.result()
        said = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=said | rates | headers.API)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            await self._send(response, b"retry: 2000\n\n")
            channel = await self._joined(response, still, joining)
            if channel is not None:
                seen = channel.find(request.headers.get("Last-Event-ID"))
                await self._follow(response, still, channel, seen)
        except (ConnectionError, TimeoutError):
            # The reader is gone, or takes nothing: it resumes with Last-Event-ID.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _joined(
        self, response: web.StreamResponse, still: Callable[[], bool], joining: Joining
    ) -> Channel | None:
        """Return the channel once there is one; None: the stream is over before."""
        while not joining.done() and not self.closing.is_set() and still():
            await self._beat(response)
            await asyncio.wait((joining,), timeout=self.heartbeat_seconds)
        if not joining.done() or joining.cancelled():
            return None
        try:
            return joining.result()
        except Refused as refused:
            await self._send(response, event("problem", refused.problem.body()))
        except Exception:
            # Too late for a status: the reader is let go, so that it comes back.
            log.exception("a stream has no first answer by a fault")
        return None

    async def _follow(
        self, response: web.StreamResponse, still: Callable[[], bool], channel: Channel, seen: Version | None
    ) -> None:
        while not self.closing.is_set() and still():
            moved, turn = channel.moved, channel.turn
            if channel.cut:
                return
            if channel.failed is not None:
                await self._send(response, event("problem", channel.failed.problem.body()))
                return
            written = channel.since(seen)
            seen = channel.version
            await self._send(response, written)
            while channel.turn == turn and not self.closing.is_set() and still():
                try:
                    async with asyncio.timeout(self.heartbeat_seconds):
                        await moved.wait()
                except TimeoutError:
                    await self._beat(response)

    async def _beat(self, response: web.StreamResponse) -> None:
        await self._send(response, b": %d\n\n" % time.time())

    @staticmethod
    async def _send(response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(SLOW_SECONDS):
            await response.write(data)

    async def close(self) -> None:
        """End every stream; clients come back by themselves."""
        self.closing.set()
        for joining in self._joining:
            joining.cancel()
        self.live.wake_all()
