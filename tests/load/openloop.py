"""Open-loop load: every request has its moment, whether or not earlier ones are answered; latency counts from it.

A closed loop (wrk) waits for an answer before it sends the next request, so a stall hides itself. Here a stall makes
the waiting longer for all that was due in it. One process, raw HTTP on a pool of kept connections.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

STEP = 0.001
AGENT = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"


def request_of(query: str) -> bytes:
    """Return the bytes of a beacon's GET."""
    return (
        b"GET /api_v3/index.php?"
        + query.encode()
        + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: "
        + AGENT
        + b"\r\nReferer: https://video.example/\r\nAccept: */*\r\n\r\n"
    )


@dataclass(slots=True)
class Seen:
    """What came back."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0


class Client(asyncio.Protocol):
    """One kept connection: at most one request under way."""

    __slots__ = ("_due", "_idle", "_seen", "_transport")

    def __init__(self, idle: deque[Client], seen: Seen) -> None:
        self._idle, self._seen = idle, seen
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._idle.append(self)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._seen.latencies.append(time.perf_counter() - self._due)
        if not data.startswith(b"HTTP/1.1 200"):
            self._seen.failed += 1
        self._idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)


async def drive(port: int, rate: float, connections: int, requests: list[bytes]) -> Seen:
    """Send the requests at the rate; return what came back within five seconds of the last."""
    idle: deque[Client] = deque()
    seen = Seen()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Client(idle, seen), "127.0.0.1", port)
    waiting: deque[tuple[bytes, float]] = deque()
    began = time.perf_counter()
    sent = 0
    while sent < len(requests) or waiting:
        now = time.perf_counter()
        upto = min(len(requests), int((now - began) * rate) + 1)
        waiting.extend((requests[number], began + number / rate) for number in range(sent, upto))
        sent = upto
        while waiting and idle:
            request, due = waiting.popleft()
            idle.popleft().send(request, due)
        await asyncio.sleep(STEP)
    await _all_answered(seen, len(requests))
    return seen


async def _all_answered(seen: Seen, sent: int) -> None:
    deadline = time.perf_counter() + 5
    while (missing := sent - len(seen.latencies)) > 0:
        if time.perf_counter() > deadline:
            seen.failed += missing
            return
        await asyncio.sleep(0.01)


def summary(seen: Seen) -> dict[str, float]:
    """Return count, failures and percentiles in ms."""
    ordered = sorted(seen.latencies)
    return {
        "answered": len(ordered),
        "failed": seen.failed,
        "p50": 1e3 * ordered[len(ordered) // 2],
        "p99": 1e3 * ordered[int(len(ordered) * 0.99)],
        "max": 1e3 * ordered[-1],
    }


def main(port: int, rate: float, seconds: float, connections: int, queries: Path) -> None:
    """Send the file's query strings, one a line, and print the summary as JSON."""
    requests = [request_of(query) for query in queries.read_text().splitlines()[: int(rate * seconds)]]
    gc.freeze()
    gc.disable()
    print(json.dumps(summary(uvloop.run(drive(port, rate, connections, requests)))))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
