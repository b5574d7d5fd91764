"""Sends planned requests at a steady rate, whatever the answers do; a journal keeps what became of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import count

from tests.e2e.traffic import Request, traffic

TICK_SECONDS = 0.01
ANSWER_SECONDS = 10.0
RECONNECT_SECONDS = 0.1
# Endless traffic is planned by parts of so many seconds.
PART_SECONDS = 3


class Outcome(IntEnum):
    """What the sender may conclude; the larger one wins when a request was sent twice."""

    FAILED = 0  # refused: it must not count
    UNKNOWN = 1  # cut or timed out: it may count
    ACKED = 2  # 200: it must count, once


@dataclass(slots=True)
class Journal:
    """What was sent and what became of it."""

    outcomes: dict[tuple[bytes, bytes], Outcome] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    sent: int = 0
    last_acked_ms: int = 0

    def note(self, request: Request, outcome: Outcome, answer: str, seconds: float) -> None:
        self.sent += 1
        self.answers[answer] += 1
        self.seconds.append(seconds)
        self.outcomes[request.key] = max(outcome, self.outcomes.get(request.key, Outcome.FAILED))
        if outcome is Outcome.ACKED:
            self.last_acked_ms = time.time_ns() // 1_000_000

    def keys(self, outcome: Outcome) -> set[tuple[bytes, bytes]]:
        return {key for key, found in self.outcomes.items() if found is outcome}

    def slowest(self, share: float) -> float:
        """Return how long an answer took that this share of all was faster than."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Sender:
    """Open loop: a slow answer delays nothing that is sent after it.

    A client of its own, one request at a time on each connection, as browsers do: a general HTTP client would
    take more of the machine than the line that it is to load.
    """

    def __init__(self, port: int, journal: Journal, connections: int = 64) -> None:
        self.journal = journal
        self._port = port
        self._connections = connections
        self._waiting: deque[tuple[Request, float]] = deque()
        self._free: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._closing = False

    async def send(self, requests: Sequence[Request], rate: float) -> float:
        """Send all of them at so many a second; return how many a second were answered."""
        aim = self.journal.sent + len(requests)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._connect())
            began = time.monotonic()
            sent = 0
            while self.journal.sent < aim:
                now = time.monotonic()
                due = min(len(requests), int((now - began) * rate) + 1)
                self._waiting.extend((request, now) for request in requests[sent:due])
                sent = due
                self._dispatch()
                self._give_up(now - ANSWER_SECONDS)
                await asyncio.sleep(TICK_SECONDS)
            took = time.monotonic() - began
            self._closing = True
            for connection in self._open:
                connection.close()
        return len(requests) / took

    async def _connect(self) -> None:
        """Keep one connection open until all is sent."""
        while not self._closing:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    partial(_Connection, self, ended), "127.0.0.1", self._port
                )
            except OSError:
                await asyncio.sleep(RECONNECT_SECONDS)  # Nobody listens now: as a browser would, later again.
                continue
            self._open.add(connection)
            await ended
            self._open.discard(connection)

    def free(self, connection: _Connection) -> None:
        """Take a connection that has nothing to do."""
        self._free.append(connection)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._waiting and self._free:
            connection = self._free.pop()
            if connection.usable:
                connection.send(*self._waiting.popleft())

    def _give_up(self, moment: float) -> None:
        """Cut what was sent before this moment and has no answer; what never left waits for a connection."""
        for connection in self._open:
            connection.cut_if_older(moment)


async def keep_sending(port: int, journal: Journal, rate: float, done: asyncio.Event) -> None:
    """Send so many new beacons a second, and a tenth of them again, until told that it is done."""
    for seed in count(1):
        if done.is_set():
            return
        await Sender(port, journal).send(traffic(seed, int(rate * PART_SECONDS), entries=10), rate * 1.1)


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, sender: Sender, ended: asyncio.Future[None]) -> None:
        self._sender = sender
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._asked: tuple[Request, float] | None = None
        self._sent_at = 0.0
        self._received = b""
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.usable = True
        self._sender.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._asked is not None:
            self._note(Outcome.UNKNOWN, "cut" if exc is None else type(exc).__name__)
        self._ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._received = rest[length:]
        status = head[9:12].decode()
        self._note(Outcome.ACKED if status == "200" else Outcome.FAILED, status)
        if b"connection: close" in head.lower():
            self.usable = False
        else:
            self._sender.free(self)

    def send(self, request: Request, since: float) -> None:
        """Send a request that was due at this instant."""
        assert self._transport is not None
        assert self._asked is None
        self._asked = (request, since)
        self._sent_at = time.monotonic()
        self._transport.write(request.wire)

    def cut_if_older(self, moment: float) -> None:
        """Cut the connection if its request was sent before this instant."""
        if self._asked is not None and self._sent_at < moment and self._transport is not None:
            self._note(Outcome.UNKNOWN, "no answer in time")
            self.usable = False
            self._transport.abort()

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def _note(self, outcome: Outcome, answer: str) -> None:
        assert self._asked is not None, "an answer that nobody asked for"
        request, since = self._asked
        self._asked = None
        self._sender.journal.note(request, outcome, answer, time.monotonic() - since)
