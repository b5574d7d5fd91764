"""Live streams: changes, resume, heartbeats, slow readers, ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.report.readers import Read
from tests.line.report_stage import T, report, write_keys
from tests.line.report_streams import LIVE, apply, entries, eventually, stream


async def test_a_stream_begins_with_the_answer_and_goes_on_with_what_changes(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 30)
        async with stream(stage) as reader:
            first = await reader.event("answer")
            whole = await stage.json(LIVE.replace("live", "report"))
            assert first.data | {"asOf": 0} == whole | {"asOf": 0}
            stage.row("7", "e003", T, plays=9)
            await stage.checkpoint()
            step = await reader.event("answer", "change")
            assert (step.kind, step.data["rows"]) == ("change", [{"partnerId": "7", "entryId": "e003", "plays": 9}])
            assert (step.data["gone"], step.data["totals"], step.data["totalRows"]) == ([], {"plays": 38}, 30)
            assert step.name != first.name


async def test_a_reader_resumes_where_it_stopped(tmp_path: Path) -> None:
    #  versions: 1 (seen) 2 3 4   ->   resumed with one change from 1 to 4, or from nothing with the whole answer
    async with report(tmp_path) as stage:
        await entries(stage, 30)
        async with stream(stage) as other:
            async with stream(stage) as reader:
                first = await reader.event("answer")
            for plays in (2, 3, 4):
                stage.row("7", f"e{plays:03}", T, plays=plays)
                stage.source.put(
                    0,
                    b'{"window":"1m","start":%d,"set":"entry","partnerId":"7","entryId":"e0%d9","partition":0}'
                    % (T, plays - 2),
                    None,
                )
                await stage.checkpoint()
                await other.event("change", "answer")
            async with stream(stage, **{"Last-Event-ID": first.name}) as reader:
                resumed = await reader.event("change", "answer")
            assert resumed.kind == "change"
            assert {row["entryId"] for row in resumed.data["rows"]} == {"e002", "e003", "e004"}
            assert sorted(one["entryId"] for one in resumed.data["gone"]) == ["e009", "e019", "e029"]
            async with stream(stage, **{"Last-Event-ID": "unknown"}) as reader:
                fresh = await reader.event("change", "answer")
            assert fresh.kind == "answer"
            assert apply(apply({}, first), resumed) == apply({}, fresh)
            assert resumed.name == fresh.name


async def test_what_is_unchanged_is_not_sent_again(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 3)
        async with stream(stage) as other:
            first = await other.event("answer")
            async with stream(stage, **{"Last-Event-ID": first.name}) as reader:
                stage.counted((T + 5) * 1000)
                following = await reader.event("answer", "change", "fresh")
                assert following.kind == "fresh"


async def test_freshness_moves_on_a_silent_stream(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 1)
        async with stream(stage) as reader:
            await reader.event("answer")
            stage.counted((T + 5) * 1000)
            while (await reader.event("fresh")).data["countedThrough"] != T + 5:
                continue
            stage.counted((T + 9000) * 1000)
            while (last := (await reader.event("fresh")).data)["countedThrough"] != T + 7200:
                continue
            assert last["complete"] is True


async def test_a_late_beacon_changes_a_closed_window_and_the_stream_says_so(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 2)
        stage.counted((T + 9000) * 1000)
        async with stream(stage) as reader:
            assert (await reader.event("answer")).data["complete"] is True
            stage.row("7", "e001", T, plays=2)
            await stage.checkpoint()
            assert apply({}, await reader.event("answer", "change"))["e001"] == 2


async def test_silence_is_broken_by_a_heartbeat(tmp_path: Path) -> None:
    async with report(tmp_path, heartbeat_s=1) as stage:
        await entries(stage, 1)
        async with stream(stage) as reader, asyncio.timeout(10):
            await reader.event("answer")
            assert (await reader.content.readuntil(b"\n\n")).startswith(b": ")


async def test_readers_of_one_question_share_its_answer_and_leave_nothing(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 1)
        live = stage.site.live
        async with stream(stage) as one, stream(stage) as two:
            for reader in (one, two):
                await reader.event("answer")
            assert (live.readers, len(live._channels), stage.site.desk.counts.misses) == (2, 1, 1)
        await eventually(lambda: live.readers == 0)
        assert live._channels == {}


async def test_open_streams_are_bounded_for_a_key_and_for_all(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7", "b": "8"})
    async with report(tmp_path, keys=tmp_path / "keys", live_per_key=1, live_readers=2) as stage:
        await entries(stage, 1)
        async with stream(stage, **headers["a"]) as one:
            await one.event("answer")
            assert (await stage.get(LIVE, headers=headers["a"])).status == 429
            async with stream(stage, **headers["b"]) as two:
                await two.event("answer")


async def test_a_stream_ends_with_its_key(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7"})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        await entries(stage, 1)
        async with stream(stage, **headers["a"]) as reader, asyncio.timeout(10):
            await reader.event("answer")
            write_keys(tmp_path / "keys", {})
            assert stage.site.access.keys is not None
            stage.site.access.keys.poll()
            stage.counted((T + 5) * 1000)
            await reader.content.read()
            assert reader.content.at_eof()


async def test_a_reader_that_takes_nothing_costs_one_event_and_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its socket fills up; meanwhile 20 versions pass; nothing is queued for it but the one event under way."""
    async with report(tmp_path) as stage:
        await entries(stage, 2000)
        path = f"{LIVE}&limit=5000"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.url.rpartition(":")[2]), limit=1024)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        async with stream(stage, path) as other:
            await other.event("answer")
            for plays in range(2, 22):
                for number in range(0, 2000, 2):
                    stage.row("7", f"e{number:03}", T, plays=plays)
                await stage.checkpoint()
            last = other
            rows: dict[str, int] = {}
            while rows.get("e000") != 21:
                rows = apply(rows, await last.event("answer", "change"))
        async with asyncio.timeout(20):
            got = b""
            while b'"entryId":"e000","plays":21' not in got:
                more = await reader.read(65_536)
                assert more, "the report ended the stream"
                got = got[-100:] + more
        writer.close()


async def test_streams_end_when_the_report_does(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await entries(stage, 1)
        async with stream(stage) as reader:
            await reader.event("answer")
            await stage.site.streams.close()
            async with asyncio.timeout(10):
                await reader.content.read()


async def test_a_stream_whose_answer_fails_by_a_fault_ends_and_is_answered_when_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*asked: object) -> Read:
        raise RuntimeError("a fault")

    async with report(tmp_path) as stage:
        await entries(stage, 1)
        async with stream(stage) as reader:
            await reader.event("answer")
            with monkeypatch.context() as broken:
                broken.setattr(stage.site.desk.readers, "ask", fails)
                await entries(stage, 2)
                async with asyncio.timeout(10):
                    await reader.content.read()
            async with stream(stage) as again:
                assert len((await again.event("answer")).data["rows"]) == 2
    assert sum("a live answer has ended" in record.message for record in caplog.records) == 1


async def test_many_streams_at_once_wait_for_their_first_answer(tmp_path: Path) -> None:
    async with report(tmp_path, concurrent_per_key=1, waiting_per_key=0) as stage:
        await entries(stage, 1)

        async def first(limit: int) -> str:
            async with stream(stage, f"{LIVE}&limit={limit}") as reader:
                return (await reader.event("answer")).kind

        assert await asyncio.gather(*(first(limit) for limit in range(1, 60))) == ["answer"] * 59
