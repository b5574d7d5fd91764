"""While the file is built again nobody is told that an answer is complete which is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.report import sql
from pipeline.report.counted import question
from pipeline.report.feed import StartAgain
from pipeline.report.problem import Refused
from pipeline.report.query import parse
from pipeline.report.readers import Read, Readers
from pipeline.report.readmodel import Identity, ReadModel
from pipeline.report.record import Record, fold
from pipeline.report.sql import Statement
from tests.e2e.wait import until
from tests.line.report_stage import Stage, T, report, row_key

ASK = f"/v1/report?window=1m&from={T}&to={T + 60}&metrics=plays"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.feed.PAUSE_SECONDS", 0.01)


async def begin_again(stage: Stage, topic: str, log: list[Record]) -> None:
    """Let the feed be in doubt, find this topic with these records, and carry all of them."""
    source, poll, desk = stage.source, stage.source.poll, stage.site.desk
    generation = desk.applied.generation if desk.applied else 0

    def doubt() -> list[Record]:
        source.topic, source.log, source.ends = topic, log, {0: len(log)}
        source.poll = poll  # type: ignore[method-assign]
        raise StartAgain("the topic is another one now")

    source.poll = doubt  # type: ignore[method-assign]
    await stage.until(lambda: desk.applied and desk.applied.generation > generation and desk.ready())


async def test_what_was_counted_in_the_file_before_is_promised_of_the_new_one_when_it_is_in_there(
    tmp_path: Path,
) -> None:
    #  beacons 0 and 1 counted | windows created again, nothing counted in it yet | counted again
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 3)
        await stage.checkpoint()
        await stage.checkpoint()
        stage.counted((T + 5000) * 1000)
        assert (await stage.json(ASK))["complete"]
        await begin_again(stage, "topic-2", [])
        stage.site.desk.on_question(question((T + 5001) * 1000, {}, {0: 2}, {}, ""))
        found = await stage.json(ASK)
        assert (found["totals"], found["complete"], found["countedThrough"]) == ({"plays": 0}, False, None)
        stage.play("7", "x", T, 3)
        await stage.checkpoint()
        found = await stage.json(ASK)
        assert (found["totals"], found["complete"]) == ({"plays": 3}, True)


async def test_a_file_that_was_only_opened_again_keeps_its_promise(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 3)
        await stage.checkpoint()
        stage.counted((T + 5000) * 1000)
        await begin_again(stage, stage.source.topic, stage.source.log)
        found = await stage.json(ASK)
        assert (found["totals"], found["complete"]) == ({"plays": 3}, True)


class Slow:
    """Readers whose first question waits."""

    def __init__(self, stage: Stage) -> None:
        self.go = asyncio.Event()
        self.asked = 0
        self._ask = stage.site.desk.readers.ask

    async def ask(self, statement: Statement, generation: int) -> Read:
        self.asked += 1
        if self.asked == 1:
            await self.go.wait()
        return await self._ask(statement, generation)


async def test_a_question_that_waited_while_the_file_was_built_again_is_refused_and_one_after_it_is_not(
    tmp_path: Path,
) -> None:
    #  asked, waits ........................... reads the new file: 503
    #  ............ built again | asked, of the same revision of another file: answered
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 3)
        await stage.checkpoint()
        stage.counted((T + 5000) * 1000)
        readers = stage.site.desk.readers = Slow(stage)
        waits = asyncio.create_task(stage.get(ASK))
        await until(lambda: readers.asked == 1, 10, "it waits")
        row = Record(0, 0, row_key("7", None, T), b'{"plays":1}')
        await begin_again(stage, "topic-2", [row, Record(0, 1, b'{"position":0}', b'{"offset":0,"time":1}')])
        assert stage.site.desk.applied is not None
        assert stage.site.desk.applied.revision == 1
        after = asyncio.create_task(stage.get(ASK))
        await until(lambda: readers.asked == 2, 10, "it is asked of the new file")
        readers.go.set()
        assert ((await waits).status, (await after).json["totals"]) == (503, {"plays": 1})


async def test_a_file_that_holds_no_whole_reading_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "report.sqlite"
    model = ReadModel(path)
    model.open(Identity("t", {}))
    model.apply(fold([Record(0, 0, row_key("7", None, T), b'{"plays":1}')]))
    readers = Readers(path, 1, 10.0)
    statement = sql.statement(parse(ASK.partition("?")[2], None).at(T))
    with pytest.raises(Refused) as refused:
        await readers.ask(statement, 1)
    assert refused.value.problem.status == 503
    model.mark_complete()
    assert (await readers.ask(statement, 1)).revision == 1
    readers.close()
    model.close()
