"""One connection: bytes in, whole requests to the desk, answers out in the order of the requests.

aiohttp's C parser reads the requests; its Request, Response, router and task per connection are left out,
because they are most of what a request costs. What its server leaves open is closed here: a deadline for
the whole head and for the whole body, and a bound on what unfinished requests may hold.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from ingest.answers import Keep, Refused, refused
from ingest.unread import ends_whole, unread
from ingest.waiting import Desk, Limits, Place, Waiting, head_bytes, keep_after

_PIPELINE = 32
_FOREVER = float("inf")
_LINGER_SECONDS = 1.0


class Connection(BaseProtocol):
    """HTTP/1.0 and 1.1 on one socket."""

    __slots__ = (
        "_body",
        "_client_ended",
        "_desk",
        "_ending",
        "_feeding",
        "_held",
        "_kept",
        "_limits",
        "_line",
        "_overrun",
        "_whole",
        "admin",
        "deadline",
        "peer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, desk: Desk, limits: Limits, *, admin: bool = False) -> None:
        self.admin = admin
        self._desk = desk
        self._limits = limits
        self._line: deque[Waiting] = deque()
        self._body: tuple[RawRequestMessage, StreamReader] | None = None
        self._held = 0
        self._kept = b""  # read since the pipeline was full: the parser keeps requests of it back
        self._whole: bytes | None = None  # body of the last whole request of this read; empty if it came in chunks
        self._overrun = False
        self._ending = False
        self._feeding = False
        self._client_ended = False
        self.deadline = _FOREVER
        self.peer = ""
        parser = HttpRequestParser(
            self,
            loop,
            limits.body_bytes,
            max_line_size=limits.line_bytes,
            max_field_size=limits.header_bytes,
            auto_decompress=False,
            max_msg_queue_size=_PIPELINE,
        )
        super().__init__(loop, parser)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        self.deadline = self._desk.now + self._limits.header_seconds
        place = self._desk.opened(self)
        if place is Place.TAKEN:
            self._refuse(Refused.TOO_MANY_CONNECTIONS)
        elif place is Place.NONE:
            self._desk.refuse_unread(Refused.TOO_MANY_CONNECTIONS)
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._hold(-self._held)
        self._desk.closed(self)
        super().connection_lost(exc)

    def pause_reading(self) -> None:
        """Called by a body that the parser finds too much: over our bound, or in ten thousand crumbs."""
        self._overrun = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called at the end of each body; nothing was paused."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._pause_reading_for_buffer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._resume_if_drained()

    def data_received(self, data: bytes) -> None:
        self._feeding = True
        while not self._ending and self._feed(data) and not self._line:
            # The parser stopped at a full pipeline, and all of it is answered already.
            data = b""
        self._feeding = False

    def _feed(self, data: bytes) -> bool:
        """Parse and serve; tell whether the parser may have kept requests back, its pipeline being full."""
        assert self._parser is not None
        begun = None if self._body is None else self._body[1].total_bytes
        if not self._kept:
            self._whole = None
        try:
            messages, _, _ = self._parser.feed_data(data)
        except Exception:  # whatever a parser says of bytes from anywhere, the answer is the same
            self._refuse(Refused.UNREADABLE)
            return False
        full = len(self._line) + len(messages) >= _PIPELINE
        most = self._limits.header_bytes
        if len(data) + self._held > most and any(head_bytes(message) > most for message, _ in messages):
            self._refuse(Refused.HEADERS_TOO_LARGE)
            return False
        if self._body is not None:
            self._read_body()
        for message, payload in messages:
            if self._ending:
                return False
            if payload is EMPTY_PAYLOAD:
                self._serve(message, b"")
            else:
                self._open_body(message, payload)
        if full or self._held or self._body is not None or self._whole is None or not ends_whole(data, self._whole):
            self._account(data, begun, full, len(messages))
        return full

    def _account(self, data: bytes, begun: int | None, full: bool, requests: int) -> None:
        """Bound what is held of requests that are not whole, or kept back; `begun` is what had come of an open body."""
        if self._ending:
            return
        more, alone = len(data), requests + (begun is not None) == 1
        if self._kept:
            data, begun, alone = self._kept + data, None, False
        self._kept = data if full else b""
        if full:
            if self._line:
                self._pause_reading_for_buffer()
                if not self._hold(more):
                    self._refuse(Refused.OVERLOADED)
        elif self._whole is None or self._body is not None:
            if data:
                self._bound_unfinished(more)
        else:
            self._hold(-self._held)
            if left := unread(data, self._whole, begun, alone):
                self._bound_unfinished(left)
            elif not self._line:
                self.deadline = self._desk.now + self._limits.idle_seconds

    def _open_body(self, message: RawRequestMessage, payload: StreamReader) -> None:
        self._body = (message, payload)
        self.deadline = self._desk.now + self._limits.body_seconds
        if not payload.is_eof():
            length = message.headers.get(hdrs.CONTENT_LENGTH)
            # Python reads no number of thousands of digits, be they zeros.
            if length is not None and int(length.lstrip("0") or "0") > self._limits.body_bytes:
                self._refuse(Refused.TOO_LARGE)
                return
            if message.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and not self._line:
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._read_body()

    def _read_body(self) -> None:
        assert self._body is not None
        message, payload = self._body
        if payload.exception() is not None:
            self._refuse(Refused.UNREADABLE)
        elif payload.total_bytes > self._limits.body_bytes or self._overrun:
            self._refuse(Refused.TOO_LARGE)
        elif payload.is_eof():
            self._body = None
            self._serve(message, payload.read_nowait(-1) if payload.total_bytes else b"")

    def _bound_unfinished(self, more: int) -> None:
        if self._held == 0 and self._body is None:
            self.deadline = self._desk.now + self._limits.header_seconds
        fits = self._hold(more)
        if self._body is None and self._held > self._limits.line_bytes + self._limits.header_bytes:
            self._refuse(Refused.HEADERS_TOO_LARGE)
        elif not fits:
            self._refuse(Refused.OVERLOADED)

    def _hold(self, change: int) -> bool:
        if not change:
            return True
        self._held += change
        return self._desk.hold(change)

    def _serve(self, message: RawRequestMessage, body: bytes) -> None:
        keep = keep_after(message)
        if keep is None:
            self._refuse(Refused.UNREADABLE)
            return
        if self._desk.draining:
            keep = Keep.CLOSE
        self._ending = keep is Keep.CLOSE
        self._whole = b"" if message.chunked else body
        self.deadline = _FOREVER
        waiting = Waiting(self, keep)
        self._line.append(waiting)
        answer = self._desk.serve(message, body, waiting)
        if answer is not None:
            self.answer(waiting, answer)

    def answer(self, waiting: Waiting, answer: bytes) -> None:
        """Send an answer, as soon as those before it are sent."""
        waiting.answer = answer
        line = self._line
        while line and (ready := line[0].answer) is not None:
            keep = line.popleft().keep
            self._write(ready)
            if keep is Keep.CLOSE:
                self._end()
                return
            if self._parser is not None:
                self._parser.message_consumed()
        if not line:
            if not self._held and self._body is None:
                self.deadline = self._desk.now + self._limits.idle_seconds
            if self._buffer_paused and not self._feeding:
                self._resume_if_drained()

    def _resume_if_drained(self) -> None:
        if self._paused or self._line or not self._buffer_paused:
            return
        self._resume_reading_for_buffer()
        self.data_received(b"")

    def cut(self) -> None:
        """Close without an answer: nobody knows whether this beacon is stored."""
        self._ending = True
        self._line.clear()
        if self.transport is not None:
            self.transport.abort()

    def late(self) -> None:
        """The deadline is over: close, without an answer, whatever it was waiting for."""
        if self._held or self._body is not None:
            self._desk.refuse_unread(Refused.SLOW)
        self.cut()

    def drain(self, *, idle_too: bool) -> None:
        """Close as soon as what was read is answered; if that is nothing, at once, or not yet."""
        if self._line:
            self._ending = True
            self._line[-1].keep = Keep.CLOSE
        elif idle_too and self._body is None and not self._held and self.transport is not None:
            self._ending = True
            self.transport.close()

    def _refuse(self, reason: Refused) -> None:
        """Answer and close; requests before this one are answered first."""
        self._desk.refuse_unread(reason)
        self._ending = True
        self._body = None
        waiting = Waiting(self, Keep.CLOSE)
        self._line.append(waiting)
        self.answer(waiting, refused(reason, self._desk.seconds, Keep.CLOSE))

    def _write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def _end(self) -> None:
        """Half-close and let the client's rest run out, so that it reads its answer before a reset."""
        self._ending = True
        self._line.clear()
        # What comes now is thrown away unread, so nothing has to be held for it.
        self._parser = self._body = None
        self._kept = b""
        self._hold(-self._held)
        self.deadline = self._desk.now + _LINGER_SECONDS
        if self.transport is None:
            return
        if self._client_ended or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.transport.write_eof()

    def eof_received(self) -> bool:
        """Keep the way back open while answers are due: a client may send its end before it reads."""
        self._client_ended = self._ending = True
        if not self._line:
            return False
        self._line[-1].keep = Keep.CLOSE
        return True
