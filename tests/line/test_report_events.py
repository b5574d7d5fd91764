"""/v1/events over HTTP: the number beside its beacons, who may ask, and what happens while Kafka is away."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ingest.beacon import Beacon
from pipeline.report.desk import Desk
from pipeline.report.feed import Applied
from pipeline.report.problem import Refused
from pipeline.report.readers import Read
from pipeline.report.scan import KAFKA_AWAY, KAFKA_SLOW
from pipeline.report.sql import Statement
from tests.e2e.wait import until
from tests.line.report_stage import FakeSource, Stage, T, report, write_keys

PLAYS = f"/v1/events?partnerId=7&entryId=x&window=1m&start={T}&metric=plays"


PHONE = b"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E"


def beacon(session: str, number: int = 0, seconds: float = 1, partner: str = "7", agent: bytes = b"") -> Beacon:
    query = f"service=analytics&eventType=3&partnerId={partner}&entryId=x&sessionId={session}&eventIndex=1"
    return Beacon(
        f"{session}-{number}", round((T + seconds) * 1000), "192.0.2.0", path=b"/x", query=query.encode(), agent=agent
    )


async def fill(stage: Stage) -> None:
    """Two plays, one of them repeated, one of them late by an ingest that had kept it back; and a foreign one."""
    stage.play("7", "x", T, 2)
    stage.beacons.put(beacon("a"))
    stage.beacons.put(beacon("a", 1, seconds=2))
    stage.beacons.put(beacon("c", partner="8"))
    stage.beacons.put(beacon("b", seconds=3), waited=300_000)
    for _ in stage.beacons.log:
        await stage.checkpoint()
    stage.counted((T + 500) * 1000)


async def test_the_beacons_of_a_number_add_up_to_it(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)
        answer = await stage.get(PLAYS)
        found = answer.json
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert (found["inReport"], found["found"], found["equal"]) == ({"plays": 2}, {"plays": 2}, True)
        assert (found["totalBeacons"], found["repeats"], found["complete"]) == (2, 1, True)
        assert [(one["time"] - T, one["repeats"], one["waited"]) for one in found["beacons"]] == [
            (1, 1, 0),
            (3, 0, 300),
        ]
        assert found["lookedAt"] == {"from": T - 60, "to": T + 660, "cut": [], "records": 4, "beacons": 4}
        assert "192.0.2" not in answer.text
        assert stage.beacons.stretch is not None
        assert (stage.beacons.stretch.counted, stage.beacons.stretch.newest) == ({0: 3}, {0: T * 1000})
        future = await stage.json(PLAYS.replace(str(T), str(T + 4980)))
        assert future["lookedAt"]["to"] == T + 5000


async def test_a_number_of_devices_is_explained_by_the_beacons_of_these_devices(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.kept("device", T, {"partnerId": "7", "device": "mobile", "operatingSystem": "iOS"}, {"plays": 1})
        stage.beacons.put(beacon("a", agent=PHONE))
        # A repeat from elsewhere, and a play from elsewhere.
        stage.beacons.put(beacon("a", 1, seconds=2))
        stage.beacons.put(beacon("b", seconds=3))
        for _ in stage.beacons.log:
            await stage.checkpoint()
        stage.counted((T + 500) * 1000)
        asked = PLAYS.replace("&entryId=x", "&device=mobile&operatingSystem=iOS")
        found = (await stage.get(asked)).json
        assert (found["inReport"], found["found"], found["equal"]) == ({"plays": 1}, {"plays": 1}, True)
        assert (found["totalBeacons"], found["repeats"]) == (1, 1)
        assert found["dimensions"] == {"device": "mobile", "operatingSystem": "iOS"}
        refused = await stage.get(asked + "&country=DE")
        assert (refused.status, refused.json["parameter"]) == (400, "country")
        assert "files of the operator" in refused.json["detail"]


async def test_beacons_that_are_not_counted_yet_are_not_shown(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)
        stage.beacons.put(beacon("d", seconds=4))
        assert (await stage.json(PLAYS))["equal"]
        await stage.checkpoint()
        found = await stage.json(PLAYS)
        assert (found["inReport"], found["found"], found["equal"]) == ({"plays": 2}, {"plays": 3}, False)


class Word(asyncio.Event):
    """The word of a checkpoint, which comes when somebody waits for it."""

    def __init__(self, desk: Desk, applied: Applied) -> None:
        super().__init__()
        self._desk, self._applied = desk, applied

    async def wait(self) -> Literal[True]:
        self._desk.on_applied(self._applied)
        return await super().wait()


class Interrupted:
    """Readers beside whose first reading a checkpoint comes."""

    def __init__(self, stage: Stage, *, told: bool) -> None:
        self._stage = stage
        self._ask = stage.site.desk.readers.ask
        self._told = told
        self.asked = 0

    async def ask(self, statement: Statement, generation: int) -> Read:
        self.asked += 1
        if self.asked > 1:
            return await self._ask(statement, generation)
        desk = self._stage.site.desk
        read, before = await self._ask(statement, generation), desk.applied
        self._stage.play("7", "x", T, 3)
        self._stage.beacons.put(beacon("d", seconds=4))
        await self._stage.checkpoint()
        if self._told:
            return read
        # Read after it, and before the word of it.
        assert desk.applied is not None
        desk.changed, desk.applied = Word(desk, desk.applied), before
        return await self._ask(statement, generation)


@pytest.mark.parametrize("told", [True, False])
async def test_a_checkpoint_that_comes_meanwhile_makes_no_difference_between_a_number_and_its_beacons(
    tmp_path: Path, told: bool
) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)
        readers = stage.site.desk.readers = Interrupted(stage, told=told)
        found = await stage.json(PLAYS)
        assert (found["inReport"], found["found"], found["equal"]) == ({"plays": 3}, {"plays": 3}, True)
        assert readers.asked == (2 if told else 1)


async def test_a_store_that_never_rests_explains_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.events.CHANGE_SECONDS", 0.001)
    async with report(tmp_path) as stage:
        await fill(stage)
        applied = stage.site.desk.applied
        assert applied is not None
        stage.site.desk.applied = replace(applied, revision=applied.revision - 1)
        answer = await stage.get(PLAYS)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


async def test_how_much_there_is_of_everybodys_is_shown_to_operators_only(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7", "b": "8", "ops": None})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        await fill(stage)
        theirs = await stage.json(PLAYS, headers=headers["a"])
        assert theirs["lookedAt"].keys() == {"from", "to", "cut"}
        assert not {"partition", "offset", "line"} & theirs["beacons"][0].keys()
        everything = await stage.json(PLAYS, headers=headers["ops"])
        assert everything["beacons"][0] == theirs["beacons"][0] | {"partition": 0, "offset": 0, "line": 0}
        refused = await stage.get(PLAYS, headers=headers["b"])
        nothing = await stage.get("/v1/nothing", headers=headers["b"])
        assert (refused.status, refused.body) == (404, nothing.body)
        assert (await stage.get(PLAYS)).status == 401


@pytest.mark.parametrize("problem", [KAFKA_AWAY, KAFKA_SLOW])
async def test_while_kafka_is_away_it_says_so_and_counts_are_shown(tmp_path: Path, problem: object) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)
        stage.beacons.refuse = Refused(problem)  # type: ignore[arg-type]
        answer = await stage.get(PLAYS)
        assert answer.status in (503, 504)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "5"
        assert "Kafka" in answer.json["title"]
        assert (await stage.get("/docs")).text.count(f'id="{answer.json["type"].partition("#")[2]}"') == 1
        assert (await stage.json(f"/v1/report?window=1m&from={T}&to={T + 60}&metrics=plays"))["totals"]["plays"] == 2


async def test_one_number_is_explained_at_a_time_for_each_key_and_the_loop_goes_on(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7", "other": "7", "ops": None})
    async with report(tmp_path, keys=tmp_path / "keys", scans=2) as stage:
        await fill(stage)
        stage.beacons.go = threading.Event()
        first = asyncio.create_task(stage.get(PLAYS, headers=headers["a"]))
        await asyncio.to_thread(stage.beacons.looking.wait, 10)
        began = time.monotonic()
        second = await stage.get(PLAYS, headers=headers["a"])
        assert (second.status, second.headers["Retry-After"]) == (429, "1")
        path = f"/v1/report?window=1m&from={T}&to={T + 60}"
        assert (await stage.get(path, headers=headers["a"])).status == 200
        others = asyncio.create_task(stage.get(PLAYS, headers=headers["other"]))
        assert time.monotonic() - began < 5
        assert not first.done()
        stage.beacons.go.set()
        assert [(await one).status for one in (first, others)] == [200, 200]
        assert (await stage.get(PLAYS, headers=headers["a"])).status == 200


async def test_who_leaves_ends_the_scan(tmp_path: Path) -> None:
    async with report(tmp_path, scans=1) as stage:
        await fill(stage)
        stage.beacons.go = threading.Event()
        left = asyncio.create_task(stage.get(PLAYS))
        await asyncio.to_thread(stage.beacons.looking.wait, 10)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)

        async def answered() -> bool:
            stage.beacons.go = None
            return (await stage.get(PLAYS)).status == 200

        await until(answered, 10, "the scan has ended")


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async with report(tmp_path, scans=0) as stage:
        await fill(stage)
        assert (await stage.get(PLAYS)).status == 404


async def test_before_the_counts_are_read_no_number_is_explained(tmp_path: Path) -> None:
    async with report(tmp_path, FakeSource(away=True)) as stage:
        assert (await stage.get(PLAYS)).status == 503
        assert not stage.beacons.looking.is_set()
