"""Sends planned requests at a steady rate, whatever the answers do; a journal keeps what became of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import aiohttp
from yarl import URL

from tests.e2e.traffic import Request

TICK_SECONDS = 0.005
ANSWER_SECONDS = 10.0


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
    """Open loop: a slow answer delays nothing that is sent after it."""

    def __init__(self, url: str, journal: Journal, connections: int = 128) -> None:
        self._url = url
        self._journal = journal
        self._connections = connections
        self.stopped = False

    async def send(self, requests: Sequence[Request], rate: float) -> float:
        """Send all of them at so many a second; return how many a second it became."""
        connector = aiohttp.TCPConnector(limit=self._connections)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        began = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            sent = 0
            while sent < len(requests) and not self.stopped:
                due = min(len(requests), int((time.monotonic() - began) * rate) + 1)
                for request in requests[sent:due]:
                    group.create_task(self._one(session, request))
                sent = due
                await asyncio.sleep(TICK_SECONDS)
            took = time.monotonic() - began
        return sent / took

    async def _one(self, session: aiohttp.ClientSession, request: Request) -> None:
        url = URL(f"{self._url}/api_v3/index.php?{request.query}", encoded=True)
        headers = {"Content-Type": request.type} if request.type else {}
        began = time.monotonic()
        try:
            async with session.request(request.method, url, data=request.body or None, headers=headers) as answer:
                await answer.read()
                outcome = Outcome.ACKED if answer.status == 200 else Outcome.FAILED
                said = str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome, said = Outcome.UNKNOWN, type(error).__name__
        self._journal.note(request, outcome, said, time.monotonic() - began)
