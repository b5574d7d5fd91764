"""Live streams go on: over the stroke of midnight, a busy store, a Kafka that is away; and end when they must."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from pipeline.report import session
from pipeline.report.desk import BUSY
from pipeline.report.problem import Problem, Refused, TooSlow
from pipeline.report.readers import NOT_YET, Read
from pipeline.report.session import Session
from pipeline.report.sql import Statement
from tests.line.report_stage import SECRET, FakeSource, Stage, T, report, write_keys
from tests.line.report_streams import LIVE, entries, eventually, stream


async def test_a_stream_goes_on_over_the_stroke_of_the_hour(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 1)
        stage.site.desk.clock = lambda: T - 1.0
        async with stream(stage, "/v1/live?from=now/h&by=entry&metrics=plays&window=1m") as reader:
            assert (await reader.event("answer")).data["to"] == T
            stage.site.desk.clock = lambda: T + 0.5
            stage.counted((T - 5) * 1000)
            following = await reader.event("answer", "change", "fresh", "problem")
            assert (following.kind, following.data["from"], following.data["to"]) == ("answer", T, T + 60)


async def test_who_comes_later_is_told_how_fresh_the_answer_is_by_then(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 1)
        async with stream(stage) as first:
            assert (await first.event("answer")).data["complete"] is False
            stage.counted((T + 9000) * 1000)
            while not (await first.event("fresh")).data["complete"]:
                continue
            async with stream(stage, LIVE) as later:
                assert (await later.event("answer")).data["complete"] is True


async def test_a_stream_that_leans_on_now_moves_on_while_kafka_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    #  |e000|        now-1m: with e000, then, though nothing has come since, without it
    monkeypatch.setattr("pipeline.report.live.MOVES_SECONDS", 0.05)
    async with report(tmp_path) as stage:
        await entries(stage, 1)
        stage.site.desk.clock = lambda: T + 59.5
        async with stream(stage, "/v1/live?from=now-1m&by=entry&metrics=plays&window=1m") as reader:
            assert len((await reader.event("answer")).data["rows"]) == 1
            stage.site.desk.clock = lambda: T + 119.5
            following = await reader.event("answer", "change")
            assert (following.data["from"], following.data["totalRows"]) == (T + 60, 0)


async def test_a_stream_ends_with_the_session_that_it_was_opened_in(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7"})
    key = headers["a"]["Authorization"].removeprefix("Bearer ")
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        await entries(stage, 1)
        signed = await stage.send("POST", "/session", json={"key": key})
        async with stream(stage) as by_session, stream(stage, **headers["a"]) as by_key:
            for reader in (by_session, by_key):
                await reader.event("answer")
            gone = await stage.send("DELETE", "/session", headers={"X-CSRF-Token": signed.json["csrfToken"]})
            assert gone.status == 204
            stage.row("7", "e000", T, plays=9)
            await stage.checkpoint()
            assert (await by_key.event("answer", "change")).data["totals"] == {"plays": 9}
            async with asyncio.timeout(10):
                assert b"plays" not in await by_session.content.read()


async def test_a_stream_ends_when_its_session_expires(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", {"a": "7"})
    async with report(tmp_path, keys=tmp_path / "keys", heartbeat_s=1) as stage:
        await entries(stage, 1)
        short = session.write(Session("a", int(time.time()) + 6, "n"), SECRET)
        async with stream(stage, Cookie=f"{session.COOKIE}={short}") as reader, asyncio.timeout(30):
            await reader.event("answer")
            await reader.content.read()


class OneWaits:
    """Readers whose questions about one partner wait."""

    def __init__(self, stage: Stage, partner: str) -> None:
        self.go, self.waiting = asyncio.Event(), 0
        self._ask, self._partner = stage.site.desk.readers.ask, partner

    async def ask(self, statement: Statement, generation: int) -> Read:
        if self._partner in statement.values.values():
            self.waiting += 1
            await self.go.wait()
        return await self._ask(statement, generation)


async def test_streams_of_one_partner_wait_for_their_own_turns_only(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "8", "b": "7"})
    async with report(tmp_path, keys=tmp_path / "keys", concurrent_per_key=2) as stage:
        await entries(stage, 1)
        readers = stage.site.desk.readers = OneWaits(stage, "8")

        async def first(limit: int) -> str:
            async with stream(stage, f"{LIVE}&limit={limit}", **headers["a"]) as reader:
                return (await reader.event("answer")).kind

        many = [asyncio.create_task(first(limit)) for limit in range(1, 20)]
        await eventually(lambda: readers.waiting == 2)
        async with asyncio.timeout(10), stream(stage, **headers["b"]) as other:
            assert len((await other.event("answer")).data["rows"]) == 1
        assert readers.waiting == 2
        readers.go.set()
        assert await asyncio.gather(*many) == ["answer"] * 19
        await eventually(lambda: stage.site.live.readers == 0)
        assert stage.site.live._turns == {}


class Refusing:
    """Readers that refuse as many questions as they are told to."""

    def __init__(self, stage: Stage) -> None:
        self.why: list[Refused] = []
        self.too_slow = 0
        self._ask = stage.site.desk.readers.ask

    async def ask(self, statement: Statement, generation: int) -> Read:
        if self.why:
            raise self.why.pop()
        try:
            return await self._ask(statement, generation)
        except TooSlow:
            self.too_slow += 1
            raise


@pytest.mark.parametrize("problem", [BUSY, NOT_YET], ids=["busy", "not-yet"])
async def test_a_stream_goes_on_after_a_refusal_that_passes_though_nothing_else_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Problem
) -> None:
    monkeypatch.setattr("pipeline.report.live.AGAIN_SECONDS", 0.05)
    async with report(tmp_path) as stage:
        await entries(stage, 1)
        readers = stage.site.desk.readers = Refusing(stage)
        async with stream(stage) as reader:
            await reader.event("answer")
            readers.why = [Refused(problem)]
            stage.row("7", "e000", T, plays=9)
            await stage.checkpoint()
            following = await reader.event("answer", "change", "problem")
            assert (following.kind == "problem", following.data["totals"], readers.why) == (False, {"plays": 9}, [])


async def test_a_stream_goes_on_after_an_answer_that_took_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.report.live.AGAIN_SECONDS", 0.05)
    async with report(tmp_path) as stage:
        await entries(stage, 40_000)
        real = stage.site.desk.readers
        readers = stage.site.desk.readers = Refusing(stage)
        async with stream(stage, f"{LIVE}&limit=1") as reader:
            await reader.event("answer")
            real._deadline = 0.0  # type: ignore[attr-defined]
            stage.row("7", "e000", T, plays=9)
            await stage.checkpoint()
            await eventually(lambda: readers.too_slow > 0)
            real._deadline = 60.0  # type: ignore[attr-defined]
            following = await reader.event("answer", "change", "problem")
            assert following.kind != "problem"
            assert following.data["totals"] == {"plays": 40_008}


async def test_a_stream_that_begins_before_the_counts_are_read_waits_for_them(tmp_path: Path) -> None:
    #  away: 200, comments | there: answer
    source = FakeSource(away=True)
    async with report(tmp_path, source, heartbeat_s=1) as stage, asyncio.timeout(10), stream(stage) as reader:
        assert await reader.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        assert (await reader.content.readuntil(b"\n\n")).startswith(b": ")
        stage.row("7", "x", T, plays=3)
        source.put(0, b'{"position":0}', b'{"offset":0,"time":1}')
        source.away = False
        assert (await reader.event("answer", "problem")).data["totals"] == {"plays": 3}


async def test_a_stream_that_waits_ends_with_the_report_and_is_refused_what_has_no_answer(tmp_path: Path) -> None:
    source = FakeSource(away=True)
    async with report(tmp_path, source, heartbeat_s=1) as stage:
        assert (await stage.get(f"/v1/live?from={T}&to={T}")).status == 400
        async with asyncio.timeout(10), stream(stage) as reader:
            await stage.site.streams.close()
            await reader.content.read()
        await eventually(lambda: not stage.site.streams._joining)
        assert stage.site.live.readers == 0
