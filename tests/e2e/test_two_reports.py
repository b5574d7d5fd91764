"""Two reports on one line: equal answers, a rebuilt store, and a countedThrough that is true."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from deploy.local.kafka import free_port
from tests.e2e.line import Line
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def play(http: aiohttp.ClientSession, line: Line, session: str, count: int) -> None:
    for index in range(1, count + 1):
        beacon = {"service": "analytics", "action": "trackEvent", "eventType": "3", "partnerId": "7", "entryId": "x"}
        said = beacon | {"sessionId": session, "eventIndex": str(index)}
        async with http.get(f"{line.ingest_url}/api_v3/index.php", params=said) as answer:
            assert answer.status == 200


async def ask(http: aiohttp.ClientSession, url: str, path: str) -> Any:
    async with http.get(url + path) as answer:
        return await answer.json() if answer.status == 200 else None


async def test_two_reports_answer_alike_and_one_is_rebuilt_while_the_other_serves(
    line: Line, http: aiohttp.ClientSession
) -> None:
    await line.start()
    other = line.report("report-2", free_port())
    await other.start()
    since = int(time.time()) // 10 * 10
    for number in range(20):
        await play(http, line, f"s{number}", 5)
    until_ = int(time.time()) // 10 * 10 + 10
    path = f"/v1/report?window=10s&by=time,entry&from={since}&to={until_}"

    async def complete(url: str) -> bool:
        found = await ask(http, url, path)
        return bool(found and found["complete"])

    for url in (line.report_url, other.url):
        await until(lambda url=url: complete(url), 40, f"{url} has counted the range")
    first = await ask(http, line.report_url, path)
    assert first["totals"]["plays"] == 100

    async def raw(url: str) -> tuple[bytes, str]:
        async with http.get(url + path) as answer:
            return await answer.read(), answer.headers["ETag"]

    assert await raw(line.report_url) == await raw(other.url)

    before = await raw(line.report_url)
    await other.stop()
    for file in (line.folder / "report-2").glob("report.sqlite*"):
        file.unlink()
    other.start_only()
    refused = []

    async def ready_and_served() -> bool:
        refused.append(await raw(line.report_url) == before)
        return bool(await ask(http, other.url, "/ready")) if other.running else False

    await other.ready()
    await until(ready_and_served, 40, "the rebuilt report is ready")
    await until(lambda: complete(other.url), 40, "the rebuilt report has counted the range")
    assert await raw(other.url) == before
    assert all(refused)


async def test_counted_through_moves_when_idle_and_stands_while_a_beacon_is_uncounted(
    line: Line, http: aiohttp.ClientSession
) -> None:
    #   idle: moves | worker away, beacon sent: stands before it | worker back: passes it, and the beacon is there
    [worker] = await line.start()

    async def through() -> float:
        return float((await ask(http, line.report_url, "/v1/status"))["countedThrough"] or 0)

    async def past(instant: float) -> bool:
        return await through() > instant

    await until(lambda: past(time.time() - 5), 40, "countedThrough comes near now")
    idle = await through()
    await until(lambda: past(idle + 3), 40, "countedThrough moves on while nothing is sent")

    worker.kill()
    sent = time.time()
    await play(http, line, "lonely", 1)
    answered = time.time()

    async def asked_again() -> bool:
        status = await ask(http, line.report_url, "/v1/status")
        assert status["countedThrough"] <= answered
        return bool(status["recordsBehind"] == 1 and time.time() > answered + 4)

    await until(asked_again, 40, "the beacon is known and uncounted")
    assert await through() <= answered

    await worker.start()
    await until(lambda: past(answered), 60, "countedThrough passes the beacon")
    found = await ask(http, line.report_url, f"/v1/report?window=10s&by=entry&metrics=plays&from={int(sent) - 10}")
    assert [(row["entryId"], row["plays"]) for row in found["rows"]] == [("x", 1)]
