"""Reading live streams of a report on the stage, as a page does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from yarl import URL

from tests.line.report_stage import Stage, T

LIVE = f"/v1/live?from={T}&to={T + 7200}&by=entry&metrics=plays&window=1m"


@dataclass(frozen=True)
class Event:
    kind: str
    name: str
    data: Any


@dataclass
class Reader:
    content: asyncio.StreamReader

    async def event(self, *kinds: str) -> Event:
        """Return the next event of these kinds."""
        async with asyncio.timeout(60):
            while True:
                block = (await self.content.readuntil(b"\n\n")).decode()
                assert block, "the stream has ended"
                fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
                if fields.get("event") in kinds:
                    return Event(fields["event"], fields.get("id", ""), orjson.loads(fields["data"]))


@asynccontextmanager
async def stream(stage: Stage, path: str = LIVE, **headers: str) -> AsyncIterator[Reader]:
    async with stage.http.get(URL(stage.url + path, encoded=True), headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield Reader(response.content)


async def entries(stage: Stage, count: int) -> None:
    for number in range(count):
        stage.row("7", f"e{number:03}", T, plays=1)
    await stage.checkpoint()


def apply(rows: dict[str, int], event: Event) -> dict[str, int]:
    """Do with an event what a page does."""
    rows = {} if event.kind == "answer" else dict(rows)
    for gone in event.data.get("gone", []):
        del rows[gone["entryId"]]
    return rows | {row["entryId"]: row["plays"] for row in event.data["rows"]}


async def eventually(true: Callable[[], bool]) -> None:
    """Wait for what nothing else wakes at."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
