"""Sends planned requests over plain sockets at a steady rate and keeps what became of each.

Plain sockets, because no client may send anything again behind our back: what was refused before a byte left is
known not to count, what was cut after the first byte may count.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.e2e.sender import Outcome
from tests.e2e.traffic import Request

TICK_SECONDS = 0.005
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
MOST_CONNECTIONS = 400
_ENTRY = re.compile(r"entryId=([^&]+)")

Beacon = tuple[bytes, bytes]


@dataclass(slots=True)
class Journal:
    """What was sent and what became of it.

    Attributes:
        outcomes: by request, the best that is known over all its sendings.
        acked: in order of time: when a request was first answered 200 (Unix ms) and the entry that must count it.
        answers: how many answers of which kind.
        took: of each 200, the port that was asked, when (monotonic seconds), and how long it took.
    """

    outcomes: dict[Beacon, Outcome] = field(default_factory=dict)
    acked: list[tuple[int, str]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    took: list[tuple[int, float, float]] = field(default_factory=list)
    sent: int = 0

    def note(
        self, request: Request, outcome: Outcome, answer: str, took: tuple[int, float, float] | None = None
    ) -> None:
        self.sent += 1
        self.answers[answer] += 1
        before = self.outcomes.get(request.key, Outcome.FAILED)
        if outcome is Outcome.ACKED:
            if took is not None:
                self.took.append(took)
            if before is not Outcome.ACKED:
                self.acked.append((time.time_ns() // 1_000_000, entry_of(request)))
        self.outcomes[request.key] = max(outcome, before)

    def count(self, outcome: Outcome) -> int:
        """Return how many distinct beacons ended so."""
        return sum(found is outcome for found in self.outcomes.values())

    def slowest(self, share: float, freezes: Sequence[tuple[int, float, float]] = ()) -> float:
        """Return how long a 200 took that this share of them was faster than; not of an ingest that was frozen.

        `freezes`: port, begin and end of each. An ingest that does not run answers nobody, and its load waits behind.
        """
        ordered = sorted(seconds for port, at, seconds in self.took if not _is_frozen(port, at, at + seconds, freezes))
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _is_frozen(port: int, since: float, until: float, freezes: Sequence[tuple[int, float, float]]) -> bool:
    return any(port == frozen and since < thawed and began < until for frozen, began, thawed in freezes)


def entry_of(request: Request) -> str:
    """Return the entry whose rows the request changes."""
    found = _ENTRY.search(request.query) or _ENTRY.search(request.body)
    assert found is not None, "a request without an entry was planned"
    return found[1]


class _Connection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[int] | None = None
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[int]:
        assert self._transport is not None
        self.answered = asyncio.get_running_loop().create_future()
        self._got = b""
        self._transport.write(request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, gap, body = self._got.partition(b"\r\n\r\n")
        if not gap or self.answered is None or self.answered.done():
            return
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length is None or len(body) >= int(length[1]):
            self.closed |= b"connection: close" in head.lower()
            self.answered.set_result(int(head.split(b" ", 2)[1]))

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionResetError())

    def cut(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()


class Sender:
    """Open loop: a slow answer delays nothing that is sent after it, up to so many connections."""

    def __init__(self, port: int, journal: Journal) -> None:
        self._port = port
        self._journal = journal
        self._idle: deque[_Connection] = deque()
        self._slots = asyncio.Semaphore(MOST_CONNECTIONS)

    async def send(self, requests: Sequence[Request], rate: float) -> None:
        """Send all of them at so many a second."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            sent = 0
            while sent < len(requests):
                due = min(len(requests), int((time.monotonic() - began) * rate) + 1)
                for request in requests[sent:due]:
                    group.create_task(self._one(request))
                sent = due
                await asyncio.sleep(TICK_SECONDS)

    async def _one(self, request: Request) -> None:
        async with self._slots:
            began = time.monotonic()
            try:
                connection = await asyncio.wait_for(self._connection(), CONNECT_SECONDS)
            except (OSError, TimeoutError) as error:
                # No byte of it has left: it can not count.
                self._journal.note(request, Outcome.FAILED, type(error).__name__)
                return
            try:
                status = await asyncio.wait_for(connection.ask(_wire(request)), ANSWER_SECONDS)
            except asyncio.CancelledError:
                # Nobody waits for the answer any more; the beacon is on its way all the same.
                self._journal.note(request, Outcome.UNKNOWN, "CancelledError")
                raise
            except (OSError, TimeoutError) as error:
                connection.cut()
                self._journal.note(request, Outcome.UNKNOWN, type(error).__name__)
                return
            outcome = Outcome.ACKED if status == 200 else Outcome.FAILED
            self._journal.note(request, outcome, str(status), (self._port, began, time.monotonic() - began))
            self._idle.append(connection)

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
        return connection

    def close(self) -> None:
        """Close what is kept open."""
        while self._idle:
            self._idle.pop().cut()


def _wire(request: Request) -> bytes:
    head = f"{request.method} /api_v3/index.php?{request.query} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"User-Agent: {request.agent}\r\n" if request.agent else ""
    body = request.body.encode()
    if body or request.method == "POST":
        head += f"Content-Type: {request.type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
