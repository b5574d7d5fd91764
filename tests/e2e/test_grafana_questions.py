"""The product dashboard asks a real report nothing that it does not understand, and finds the columns it shows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.e2e.line import REPO, Line
from tests.e2e.reading import Reader
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e
DASHBOARD = json.loads((REPO / "deploy" / "grafana" / "playback.json").read_text())
PLAY = "service=analytics&action=trackEvent&eventType=3&partnerId=77&entryId=1_g&sessionId=g&eventIndex=1"
VIEW = (
    "service=analytics&action=trackEvent&eventType=99&partnerId=77&entryId=1_g&sessionId=g&eventIndex=2&bufferTime=1.5"
)


def questions() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["infinityQuery"]


def filled(value: str, since: int) -> str:
    """Return a parameter as Grafana sends it, its variables replaced."""
    chosen = {
        "$window": "1m",
        "${partner:csv}": "77",
        "${__from:date:seconds}": str(since),
        "${__to:date:seconds}": str(since + 7200),
    }
    assert "$" not in value or value in chosen, f"{value} is no variable of the dashboard"
    return chosen.get(value, value)


async def test_every_panel_is_answered_with_its_columns(line: Line) -> None:
    await line.start()
    since = int(time.time()) // 3600 * 3600
    async with aiohttp.ClientSession() as session:
        await until(lambda: time.time() % 60 < 50, 30, "both beacons are of one minute")
        for beacon in (PLAY, VIEW):
            async with session.get(f"{line.ingest_url}/api_v3/index.php?{beacon}") as answer:
                assert answer.status == 200
        await Reader(line.report_url).counted(time.time_ns() // 1_000_000, 60)
        asked = list(questions())
        for title, question in asked:
            options = question["url_options"]
            parameters = {one["key"]: filled(one["value"], since) for one in options["params"]}
            url = line.report_url + question["url"]
            async with session.request(options["method"], url, params=parameters) as answer:
                assert answer.status == 200, f"{title}: {await answer.text()}"
                found = await answer.json(content_type=None)
            shown = found[question["root_selector"]] if question["root_selector"] else [found]
            assert len(shown) == 1, f"{title}: {shown}"
            missing = [one["selector"] for one in question["columns"] if one["selector"] not in shown[0]]
            assert missing == [], f"{title} has no {missing}: {shown}"
    assert len(asked) > 20
