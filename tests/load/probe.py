"""How long until a beacon is visible: send one with an entry of its own, and ask the report until it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from tests.load.dataset import query_of

EVERY = 0.2
ASK_EVERY = 0.02
PARTNER = "9999"
PLAY = 2


async def watch(ingest: str, report: str, seconds: float, going_on: Callable[[], bool]) -> list[float]:
    """Return the seconds from each probe's 200 to its first sight in the report; one never seen is infinite."""
    answered: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with aiohttp.ClientSession() as http:
        sender = asyncio.ensure_future(_send(http, ingest, seconds, answered, going_on))
        deadline = time.perf_counter() + seconds + 30
        while (not sender.done() or len(seen) < len(answered)) and time.perf_counter() < deadline:
            entries = await _visible(http, report)
            now = time.perf_counter()
            for entry in entries - seen.keys():
                seen[entry] = now
            await asyncio.sleep(ASK_EVERY)
        await sender
    return [seen.get(entry, float("inf")) - moment for entry, moment in answered.items()]


async def _send(
    http: aiohttp.ClientSession, ingest: str, seconds: float, answered: dict[str, float], going_on: Callable[[], bool]
) -> None:
    began = time.perf_counter()
    number = 0
    while (now := time.perf_counter()) < began + seconds and going_on():
        number += 1
        entry = f"1_probe{int(time.time())}x{number}"
        query, _, _ = query_of(PLAY, f"probe-{entry}", PARTNER, entry)
        async with http.get(f"{ingest}/api_v3/index.php?{query}") as answer:
            answer.raise_for_status()
        answered[entry] = time.perf_counter()
        await asyncio.sleep(max(0.0, began + number * EVERY - now))


async def _visible(http: aiohttp.ClientSession, report: str) -> set[str]:
    words = {
        "partnerId": PARTNER,
        "window": "10s",
        "from": str(int(time.time()) // 10 * 10 - 50),
        "to": str(int(time.time()) // 10 * 10 + 20),
        "by": "entry",
        "metrics": "plays",
        "limit": "1000",
    }
    async with http.get(f"{report}/v1/report", params=words) as answer:
        if answer.status == 404:
            return set()
        answer.raise_for_status()
        said = await answer.json()
    return {row["entryId"] for row in said["rows"]}
