"""Two reports on one line: equal answers, a rebuilt store, a countedThrough that is true, and the probe's verdict."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from confluent_kafka import Producer

from deploy.local.kafka import free_port
from ingest.beacon import Beacon, partition_of
from pipeline.batch import position_key
from pipeline.commands.known import known_set
from pipeline.commands.probe import _one_round
from pipeline.config import ProbeSettings
from tests.collector import Collector, collector
from tests.e2e.commands import PARTITIONS, broker_of, did
from tests.e2e.line import PATIENT, Line
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def traces() -> AsyncIterator[Collector]:
    async with collector() as found:
        yield found


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
    line: Line, http: aiohttp.ClientSession, traces: Collector
) -> None:
    line.settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
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
    seen = {
        ("playback-worker", "worker.open"),
        ("playback-worker", "worker.checkpoint"),
        ("playback-report", "report.query"),
    }
    await until(lambda: seen <= set(traces.spans), 20, "what was done is traced")

    # The probe asks as a dashboard does: it finds its set, and finds a row of it that somebody has falsified.
    where = {"PROBE_INGEST_URL": line.ingest_url, "PROBE_REPORT_URL": other.url}
    assert (await did(line, "probe", "--once", **where)).startswith("equal: the report had the set ")
    minute = int(time.time()) // 60
    falsify(line, "falsified-b", minute)
    settings = ProbeSettings(ingest_url=line.ingest_url, report_url=other.url, partner="8")
    ended = await _one_round(settings, "", known_set("8", "falsified", minute, by_pair=False))
    assert (ended.outcome, "5 plays, must be 1" in ended.said or "6 plays, must be 1" in ended.said) == ("wrong", True)


def falsify(line: Line, entry: str, minute: int) -> None:
    """Add five plays to an entry of partner 8, in a partition that its session is not in, now and in a minute."""
    producer = Producer({"bootstrap.servers": line.bootstrap})
    session = Beacon("", 0, query=f"sessionId={entry}-{minute}".encode())
    positions = broker_of(line).positions()
    partition = next(number for number in positions if number != partition_of(session, PARTITIONS))
    for start in (minute * 60, minute * 60 + 60):
        key = {"window": "1m", "start": start, "set": "entry", "partnerId": "8", "entryId": entry}
        value = orjson.dumps({"plays": 5, "offset": 0})
        producer.produce(f"{line.prefix}windows", value, orjson.dumps(key | {"partition": partition}), partition)
    # A report takes rows in up to a position: the last one, once more.
    producer.produce(f"{line.prefix}windows", positions[partition].value(), position_key(partition), partition)
    assert producer.flush(10) == 0


async def test_counted_through_moves_when_idle_and_stands_while_a_beacon_is_uncounted(
    line: Line, http: aiohttp.ClientSession
) -> None:
    #   idle: moves | worker away, beacon sent: stands before it | worker back: passes it, and the beacon is there
    line.settings |= PATIENT
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
        # More than one where Kafka took it so late that it is in the spool too.
        return bool(status["recordsBehind"] >= 1 and time.time() > answered + 4)

    await until(asked_again, 40, "the beacon is known and uncounted")
    assert await through() <= answered

    await worker.start()
    await until(lambda: past(answered), 60, "countedThrough passes the beacon")
    found = await ask(http, line.report_url, f"/v1/report?window=10s&by=entry&metrics=plays&from={int(sent) - 10}")
    assert [(row["entryId"], row["plays"]) for row in found["rows"]] == [("x", 1)]
