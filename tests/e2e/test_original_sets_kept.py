"""A line that keeps the original's sets, and answers the original's questions about them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.broker import Broker
from tests.e2e.line import Line
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


@pytest.fixture
def original(broker: Broker, tmp_path: Path) -> Iterator[Line]:
    line = Line(broker.bootstrap, "original-", tmp_path / "line", WORKER_SETS="original", PARTITIONS="2")
    try:
        yield line
    finally:
        line.close()


async def test_the_originals_questions_are_answered_from_the_originals_sets(original: Line) -> None:
    await original.start()
    async with aiohttp.ClientSession(headers={"User-Agent": AGENT}) as http:
        for number in range(6):
            query = f"service=analytics&action=trackEvent&eventType=3&partnerId=7&entryId=e{number % 2}&eventIndex=1"
            more = f"&sessionId=s{number}&customVar1=v{number % 3}&referrer=http%3A%2F%2Fa.org%2Fpage"
            async with http.get(f"{original.ingest_url}/api_v3/index.php?{query}{more}") as answer:
                assert answer.status == 200
        hour = int(time.time()) // 3600 * 3600

        async def ask(*dimensions: str) -> Any:
            times = {
                name: datetime.fromtimestamp(at, UTC).strftime("%m/%d/%Y %H:%M")
                for name, at in (("from", hour - 3600), ("to", hour + 7200))
            }
            asked = times | {"dimensions": dimensions, "filters": [], "metrics": ["play"], "utcOffset": 0}
            asked |= {"orderBy": f"+{dimensions[0]}", "pager": {"size": 50, "index": 1}}
            async with http.post(f"{original.report_url}/query", json=asked) as answer:
                return await answer.json()

        async def counted() -> bool:
            found = await ask("partner")
            return found.get("data") == [["7", "6.0"]]

        await until(counted, 60, "the beacons are counted", every=0.3)
        assert (await ask("cf1"))["data"] == [["v0", "2.0"], ["v1", "2.0"], ["v2", "2.0"]]
        assert (await ask("syndicationDomain", "referrer"))["data"] == [["a.org", "a.org/page", "6.0"]]
        assert (await ask("operatingSystem", "browser"))["data"] == [["Linux", "Firefox", "6.0"]]
        assert (await ask("entry", "cf1"))["data"][0] == ["e0", "v0", "1.0"]
        assert (await ask("cf2"))["data"] == []
        assert (await ask("cf1", "browser"))["kind"] == "unsupportedQuery"
