"""Real players' requests, replayed byte for byte, are counted as an independent reading counts them."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest

from tests.e2e.line import Line
from tests.e2e.reading import Reader

pytestmark = pytest.mark.e2e

RECORDED = [json.loads(text) for text in (Path(__file__).parents[1] / "data" / "recorded.jsonl").open()]


def in_order(recorded: list[Any]) -> list[Any]:
    return recorded


def shuffled(recorded: list[Any]) -> list[Any]:
    return random.Random(7).sample(recorded, len(recorded))


def each_twice(recorded: list[Any]) -> list[Any]:
    return [request for request in recorded for _ in range(2)]


def all_again_later(recorded: list[Any]) -> list[Any]:
    return recorded + recorded


def expected(recorded: list[Any]) -> dict[str, tuple[int, int, int]]:
    """Return plays, views and buffer milliseconds per entry: the whole rule, read from the requests alone."""
    seen = set()
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for request in recorded:
        if request["method"] == "OPTIONS":
            continue
        given = dict(reversed(parse_qsl(request["url"].partition("?")[2], keep_blank_values=True)))
        if request["headers"].get("content-type") == "application/json":
            given |= {name: str(value) for name, value in json.loads(request["body"]).items()}
        else:
            given |= dict(reversed(parse_qsl(request["body"], keep_blank_values=True)))
        names = ("partnerId", "sessionId", "eventIndex", "entryId", "eventType", "sessionStartTime")
        identity = tuple(given.get(name, "") for name in names)
        if identity in seen:
            continue
        if given.get("sessionId") and given.get("eventIndex"):
            seen.add(identity)
        found = counts[given["entryId"]]
        found[0] += given["eventType"] == "3"
        if given["eventType"] == "99":
            found[1] += 1
            found[2] += round(Decimal(given.get("bufferTime") or 0) * 1000)
    return {entry: (plays, views, ms) for entry, (plays, views, ms) in counts.items() if plays or views or ms}


def as_bytes(request: dict[str, Any], host: str) -> bytes:
    """Return the request as it came over the wire."""
    body = request["body"].encode()
    headers = {"host": host} | request["headers"]
    if body or request["method"] == "POST":
        headers["content-length"] = str(len(body))
    lines = [f"{request['method']} {request['url']} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def replay(recorded: list[Any], port: int) -> list[int]:
    """Send the requests one after the other on one connection; return the answers' status codes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses = []
    try:
        for request in recorded:
            writer.write(as_bytes(request, f"127.0.0.1:{port}"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            statuses.append(int(head.split(b" ", 2)[1]))
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            await reader.readexactly(int(fields.get(b"content-length", b"0")))
    finally:
        writer.close()
    return statuses


@pytest.mark.parametrize("order", [in_order, shuffled, each_twice, all_again_later])
async def test_recorded_players_are_counted_exactly(line: Line, order: Any) -> None:
    await line.start(workers=1)
    reader = Reader(line.report_url)

    requests = order(RECORDED)
    statuses = await replay(requests, line.ingest_port)

    assert {status for status in statuses if status != 204} == {200}
    await reader.counted(time.time_ns() // 1_000_000, 60)
    async with aiohttp.ClientSession() as session:
        answer = await reader.ask(session, window="1h", by="entry", metrics="plays,views,bufferTime")
    found = {
        row["entryId"]: (row["plays"], row["views"], round(row["bufferTime"] * 1000))
        for row in answer["rows"]
        if row["plays"] or row["views"] or row["bufferTime"]
    }
    assert found == expected(requests)


def test_the_recording_has_something_to_count() -> None:
    plays, views, buffer_ms = (sum(column) for column in zip(*expected(RECORDED).values(), strict=True))

    assert (plays, views, buffer_ms) == (20, 32, 9847)
