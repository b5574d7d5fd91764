"""Live streams go on: over the stroke of midnight, a busy store, a Kafka that is away; and end when they must."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.line.report_stage import T, report
from tests.line.report_streams import LIVE, entries, stream


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
