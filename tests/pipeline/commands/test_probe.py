"""The probe over HTTP: what it says of an ingest and a report that answer so, and of those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from pipeline.commands import probe as probing
from pipeline.commands.known import METRICS, Outcome, known_set, rows_of
from pipeline.commands.probe_metrics import ProbeMetrics
from pipeline.config import ProbeSettings, RefusedSetting

SECOND = 1_795_420_825
SENDS = known_set("9", "p", SECOND // 60, by_pair=False)


@dataclass
class Stage:
    """An ingest and a report that answer as they are told."""

    ingest_status: int = 200
    report_status: int = 200
    through: float = SECOND + 10
    more_plays: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    url: str = ""

    async def ingest(self, request: web.Request) -> web.Response:
        self.forms.append(request.content_type if request.method == "POST" else "query")
        return web.Response(status=self.ingest_status, text=str(SECOND) if self.ingest_status == 200 else "no room")

    async def report(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query) | {"key": request.headers.get("Authorization", "")})
        rows = [
            {"time": start, "entryId": entry, "plays": plays + self.more_plays, "views": views, "bufferTime": ms / 1000}
            for (start, entry), (plays, views, ms) in rows_of(SENDS, [SECOND] * len(SENDS)).items()
        ]
        return web.json_response({"rows": rows, "countedThrough": self.through}, status=self.report_status)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    app = web.Application()
    app.add_routes([web.route("*", "/api_v3/index.php", stage.ingest), web.get("/v1/report", stage.report)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    stage.url = f"http://{host}:{port}"
    yield stage
    await runner.cleanup()


async def ended(stage: Stage, deadline_s: float = 30) -> probing.Ended:
    settings = ProbeSettings(ingest_url=stage.url, report_url=stage.url + "/", partner="9", deadline_s=deadline_s)
    return await probing._one_round(settings, "secret", SENDS)


async def test_a_report_that_has_the_set_is_equal_and_was_asked_with_the_key(stage: Stage) -> None:
    found = await ended(stage)
    assert (found.outcome, len(stage.forms)) == (Outcome.EQUAL, len(SENDS))
    assert set(stage.forms) == {"query", "application/json", "application/x-www-form-urlencoded"}
    assert stage.asked[0] == {
        "window": "1m",
        "by": "time,entry",
        "metrics": ",".join(METRICS),
        "partnerId": "9",
        "entryId": "p-a,p-b",
        "from": str(SECOND // 60 * 60),
        "to": str(SECOND // 60 * 60 + 120),
        "key": "Bearer secret",
    }


def too_much(stage: Stage) -> None:
    stage.more_plays = 1


def behind(stage: Stage) -> None:
    stage.through = SECOND - 1


def full(stage: Stage) -> None:
    stage.ingest_status = 503


def forbidden(stage: Stage) -> None:
    stage.report_status = 401


def gone(stage: Stage) -> None:
    stage.url = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("fault", "outcome", "said"),
    [
        (too_much, Outcome.WRONG, "3 plays, must be 2"),
        (behind, Outcome.LATE, f"has counted through {SECOND - 1}"),
        (full, Outcome.UNREACHABLE, "answers 503: no room"),
        (forbidden, Outcome.UNREACHABLE, "answers 401: "),
        (gone, Outcome.UNREACHABLE, "Connect"),
    ],
)
async def test_each_fault_has_its_word_and_its_line(
    stage: Stage, fault: Callable[[Stage], None], outcome: Outcome, said: str
) -> None:
    fault(stage)
    # Who waits for counts waits that long: no other fault needs it.
    found = await ended(stage, 1 if fault is behind else 30)
    assert (found.outcome, said in found.said, "\n" in found.said) == (outcome, True, False), found


def test_a_key_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    environment = {"PROBE_KEY_FILE": str(tmp_path / "none")}
    said = CliRunner().invoke(probing.probe, ["--once"], env=environment)
    assert isinstance(said.exception, RefusedSetting)
    assert str(said.exception).startswith(f"PROBE_KEY_FILE={tmp_path / 'none'} cannot be read: ")


def sample(registry: CollectorRegistry, name: str, **labels: str) -> Any:
    return registry.get_sample_value(name, labels)


def test_rounds_are_counted_by_their_outcome_from_nothing_on() -> None:
    metrics = ProbeMetrics()
    registry = metrics.registry
    assert [sample(registry, "probe_rounds_total", outcome=outcome) for outcome in Outcome] == [0, 0, 0, 0]
    probing._note(probing.Ended(Outcome.EQUAL, "", 0.7), metrics)
    first = sample(registry, "probe_last_equal_seconds")
    probing._note(probing.Ended(Outcome.WRONG, "", None), metrics)
    assert [sample(registry, "probe_rounds_total", outcome=outcome) for outcome in Outcome] == [1, 1, 0, 0]
    assert sample(registry, "probe_last_equal_seconds") == first > 0
    assert sample(registry, "probe_visible_seconds_sum") == 0.7


async def test_sigterm_is_heard_while_a_round_is_waited_for() -> None:
    stop = asyncio.Event()
    waiting = asyncio.ensure_future(probing._is_set(stop, 1000))
    stop.set()
    assert await waiting
    assert not await probing._is_set(asyncio.Event(), -1)
