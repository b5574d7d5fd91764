"""From a number to its beacons on a real line: they add up to it, repeats and late beacons among them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local.kafka import free_port
from tests.e2e.broker import Broker
from tests.e2e.line import PATIENT, Line
from tests.e2e.table import stored_beacons
from tests.e2e.wait import until
from tests.pipeline.life import folder

pytestmark = pytest.mark.e2e

PARTNER, ENTRY = "4242", "1_told"
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
)
# Dimensions that only some set knows together; what beacons say of them by themselves.
FURTHER = (("device", "operatingSystem"), ("browser",), ("playbackType",), ("domain",))
METRICS = ("plays", "views", "bufferTime", "sessions", "audience", "watchedTime", "bufferingRatio")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
        yield session


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Broker, Line]]:
    """A line on a broker that nobody else uses: it is killed on the way."""
    broker = Broker(tmp_path / "kafka")
    settings = {"PARTITIONS": "2", "INGEST_SPOOL_MIN_FREE_MIB": "0"} | PATIENT
    line = Line(broker.bootstrap, "told-", tmp_path / "line", **settings)
    with folder() as path:
        # On the brokers' disk a sync waits for theirs, and a beacon that waits for long is refused.
        line.spools = path
        try:
            yield broker, line
        finally:
            line.close()
            broker.kill()


class Viewers:
    """Sends beacons and knows them."""

    def __init__(self, http: aiohttp.ClientSession, line: Line) -> None:
        self._http = http
        self._line = line
        self.sent = 0

    async def send(self, session: str, kind: int, index: int, times: int = 1, **said: str) -> None:
        given = {"service": "analytics", "action": "trackEvent", "eventType": str(kind), "partnerId": PARTNER}
        given |= {"entryId": ENTRY, "sessionId": session, "eventIndex": str(index)} | said
        given |= {"playbackType": "live" if session < "c" else "vod", "referrer": f"https://{session}.example/page"}
        for number in range(times):
            # A viewer has one browser; a repeat that comes from elsewhere is one all the same.
            agent = {"User-Agent": AGENTS[(ord(session[0]) + min(number, 1)) % 2]}
            async with self._http.get(
                f"{self._line.ingest_url}/api_v3/index.php", params=given, headers=agent
            ) as answer:
                assert answer.status == 200
            self.sent += 1

    async def watch(self, session: str, repeats: int = 0) -> None:
        """Play and three views; every beacon comes so many times more."""
        await self.send(session, 3, 1, 1 + repeats)
        for index in (2, 3, 4):
            said = {"bufferTime": "0.25", "playTimeSum": str(10 * (index - 1)), "userId": "SECRET", "ks": "SECRET"}
            await self.send(session, 99, index, 1 + repeats, **said)


async def ask(http: aiohttp.ClientSession, url: str, path: str, **asked: object) -> tuple[int, Any]:
    async with http.get(url + path, params={name: str(value) for name, value in asked.items()}) as answer:
        return answer.status, await answer.json(content_type=None)


async def counted(http: aiohttp.ClientSession, line: Line, since: int, until_: int) -> list[dict[str, Any]]:
    """Wait until a range is counted; return its rows of 10 s."""
    asked = {"window": "10s", "by": "time,entry", "from": since, "to": until_, "entryId": ENTRY}
    asked |= {"metrics": ",".join(METRICS)}
    rows: list[dict[str, Any]] = []

    async def complete() -> bool:
        status, found = await ask(http, line.report_url, "/v1/report", **asked)
        rows[:] = found["rows"] if status == 200 else []
        return status == 200 and found["complete"]

    await until(complete, 90, "the range is counted", every=0.3)
    return rows


async def every_further_cell_is_explained(http: aiohttp.ClientSession, line: Line, since: int, until_: int) -> None:
    metrics = ("plays", "views", "sessions", "watchedTime")
    for names in FURTHER:
        asked = {"window": "1m", "from": since, "to": until_, "partnerId": PARTNER, "metrics": ",".join(metrics)}
        status, found = await ask(http, line.report_url, "/v1/report", **asked, by=",".join(("time", *names)))
        assert (status, sum(row["plays"] for row in found["rows"])) == (200, 5), found
        for row in found["rows"]:
            cell = {"partnerId": PARTNER, "window": "1m", "start": row["time"], **{name: row[name] for name in names}}
            for metric in metrics:
                status, told = await ask(http, line.report_url, "/v1/events", **cell, metric=metric)
                assert (status, told["equal"], told["found"]) == (200, True, {metric: row[metric]}), told


async def test_the_beacons_behind_every_number_add_up_to_it(
    own: tuple[Broker, Line], http: aiohttp.ClientSession
) -> None:
    #   viewers a-c, repeats | Kafka away: viewers d-e on the spool, numbers not explained | back: all of them explained
    broker, line = own
    await broker.start()
    await line.start()
    viewers = Viewers(http, line)
    since = int(time.time()) // 10 * 10
    for number, session in enumerate(("a", "b", "c")):
        await viewers.watch(session, repeats=number)
    until_ = int(time.time()) // 10 * 10 + 10
    await counted(http, line, since, until_)

    broker.kill()
    for session in ("d", "e"):
        await viewers.watch(session, repeats=1)
    spooled = int(time.time()) // 10 * 10 + 10
    status, problem = await ask(
        http, line.report_url, "/v1/events", partnerId=PARTNER, window="10s", start=since, metric="plays"
    )
    assert (status, problem["type"]) == (503, "/docs#kafka-away")
    assert "Kafka" in problem["detail"]
    # Late by more than a clock's doubt: the beacons lie on ingest's disk meanwhile.
    await until(lambda: time.time() > spooled + 2, 30, "time passes")
    await broker.start()
    rows = await counted(http, line, since, spooled)

    sums: Counter[str] = Counter()
    waited, beacons, repeats = 0.0, 0, 0
    for row in rows:
        for metric in METRICS:
            for entry in ({"entryId": ENTRY}, {}):
                cell = {"partnerId": PARTNER, "window": "10s", "start": row["time"], "metric": metric, **entry}
                status, found = await ask(http, line.report_url, "/v1/events", **cell)
                assert status == 200, found
                assert found["lookedAt"]["cut"] == []
                assert found["found"] == found["inReport"], f"{cell}: {found}"
                assert found["found"][metric] == row[metric]
                assert found["totalBeacons"] == len(found["beacons"])
            added = sum(one["adds"].get(metric, 0) for one in found["beacons"])
            sums[metric] += added
            waited = max([waited, *(one["waited"] for one in found["beacons"])])
        everything = {"partnerId": PARTNER, "window": "10s", "start": row["time"], "metric": "bufferingRatio"}
        for cell in (everything, everything | {"metric": "plays"}):
            status, found = await ask(http, line.report_url, "/v1/events", **cell)
            beacons += found["totalBeacons"]
            repeats += found["repeats"]
            assert "SECRET" not in repr(found)
    await every_further_cell_is_explained(http, line, since // 60 * 60, -(-spooled // 60) * 60)
    assert (sums["plays"], sums["views"], sums["bufferTime"]) == (5, 15, 3.75)
    assert sums["watchedTime"] == 150
    assert waited > 2, "no beacon was late"
    # Whatever lies in the topic is shown once, as a beacon or as a repeat: also what ingest stored twice, under one id.
    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    assert len({one.id for one in stored}) == viewers.sent
    assert (beacons, beacons + repeats) == (20, len(stored))


async def test_a_stretch_that_is_cut_or_gone_is_said_to_be(line: Line, http: aiohttp.ClientSession) -> None:
    await line.start()
    viewers = Viewers(http, line)
    await until(lambda: time.time() % 3600 < 3540, 90, "no hour ends meanwhile")
    since = int(time.time()) // 10 * 10
    for number in range(1200):
        await viewers.send(f"s{number % 50}", 99, number)
    until_ = int(time.time()) // 10 * 10 + 10
    rows = await counted(http, line, since, until_)
    port = free_port()
    told = {"REPORT_PORT": str(port), "REPORT_STORE": str(line.folder / "less" / "r.sqlite")}
    less = line._process("less", ("pipeline", "report"), port, **told, REPORT_SCAN_BEACONS="1000")
    await less.start()
    cell = {"partnerId": PARTNER, "window": "1h", "start": since // 3600 * 3600, "metric": "views", "limit": 1000}
    cell |= {"before": 0}
    status, whole = await ask(http, line.report_url, "/v1/events", **cell)
    assert (status, whole["lookedAt"]["cut"]) == (200, [])
    assert whole["found"]["views"] >= sum(row["views"] for row in rows)
    assert (len(whole["beacons"]), whole["totalBeacons"]) == (1000, whole["found"]["views"])

    async def read() -> bool:
        return (await ask(http, less.url, "/v1/report", **{"from": since, "to": until_, "window": "10s"}))[1]["totals"][
            "views"
        ] == sum(row["views"] for row in rows)

    await until(read, 30, "the second report has read the rows")
    status, cut = await ask(http, less.url, "/v1/events", **cell)
    assert (status, cut["lookedAt"]["cut"], cut["equal"]) == (200, ["beacons"], False)
    assert cut["lookedAt"]["beacons"] < 1200
    assert cut["lookedAt"]["to"] < whole["lookedAt"]["to"]

    topic = f"{line.prefix}beacons"
    admin = AdminClient({"bootstrap.servers": line.bootstrap})
    parts = admin.list_topics(topic, timeout=10).topics[topic].partitions
    for future in admin.delete_records([TopicPartition(topic, part, OFFSET_END) for part in parts]).values():
        future.result(10)
    status, gone = await ask(http, line.report_url, "/v1/events", **cell)
    assert (status, gone["lookedAt"]["cut"], gone["totalBeacons"]) == (200, ["retention"], 0)
    assert gone["inReport"] == whole["inReport"]
