"""The read model's file: goes on where it was, is built again where it does not fit, never shows half a checkpoint."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import orjson
import pytest

from pipeline.report.feed import Feed
from pipeline.report.readers import Readers
from pipeline.report.readmodel import Identity, ReadModel
from pipeline.report.record import Batch, fold
from pipeline.report.schema import TABLES
from tests.line.report_stage import FakeSource, Stage, T, report, row_key

ASK = f"/v1/report?from={T}&to={T + 60}&by=entry&metrics=plays"


async def plays(stage: Stage) -> dict[str, int]:
    return {row["entryId"]: row["plays"] for row in await rows(stage)}


async def rows(stage: Stage) -> list[dict[str, int | str]]:
    found: list[dict[str, int | str]] = (await stage.json(ASK))["rows"]
    return found


async def test_a_restart_goes_on_from_the_stored_offsets(tmp_path: Path) -> None:
    source = FakeSource()
    async with report(tmp_path, source) as stage:
        stage.row("7", "x", T, plays=1)
        await stage.checkpoint()
    async with report(tmp_path, source) as stage:
        assert source.started_from == [{}, {0: 2}]
        stage.offsets = {0: 0}
        stage.row("7", "y", T, plays=2)
        await stage.checkpoint()
        assert await plays(stage) == {"x": 1, "y": 2}


async def test_what_was_counted_is_still_answered_while_kafka_is_away(tmp_path: Path) -> None:
    source = FakeSource()
    async with report(tmp_path, source) as stage:
        stage.row("7", "x", T, plays=1)
        await stage.checkpoint()
    source.away = True
    async with report(tmp_path, source) as stage:
        await stage.until(lambda: stage.site.desk.applied is not None)
        found = await stage.json(ASK)
        assert (found["countedThrough"], [row["plays"] for row in found["rows"]]) == (None, [1])
        assert (await stage.get("/ready")).status == 503


@pytest.mark.parametrize("harm", ["deleted", "rubbish", "another catalog", "another topic", "shorter topic", "half"])
async def test_a_file_that_does_not_fit_is_built_again(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, path = FakeSource(), tmp_path / "report.sqlite"
    async with report(tmp_path, source) as stage:
        stage.row("7", "x", T, plays=1)
        stage.row("7", "gone", T, plays=1)
        await stage.checkpoint()
    again = FakeSource(topic="topic-2" if harm == "another topic" else "topic-1")
    if harm == "deleted":
        path.unlink()
    elif harm == "rubbish":
        path.write_bytes(b"rubbish" * 1000)
    elif harm == "half":
        path.write_bytes(path.read_bytes()[:5000])
    elif harm == "another catalog":
        change(path, "UPDATE meta SET value = 'older' WHERE name = 'schema'")
    if harm == "shorter topic":
        change(path, "UPDATE progress SET next = 1000")
    again.put(0, row_key("7", "x", T), b'{"plays":5}')
    caplog.clear()
    async with report(tmp_path, again) as stage:
        await stage.checkpoint()
        assert await plays(stage) == {"x": 5}
    assert sum("built again from Kafka" in record.message for record in caplog.records) == 1


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)


async def test_half_a_checkpoint_is_never_seen(tmp_path: Path) -> None:
    #  p0: row row | position        seen: nothing ........ both rows
    async with report(tmp_path) as stage:
        stage.row("7", "x", T, plays=1)
        stage.row("7", "y", T, plays=1)
        stage.row("8", "z", T, plays=1, part=1)
        await stage.checkpoint(1)
        assert await plays(stage) == {"z": 1}
        await stage.checkpoint(0)
        assert await plays(stage) == {"x": 1, "y": 1, "z": 1}


async def test_a_tombstone_ends_a_row(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.row("7", "x", T, plays=1)
        stage.row("7", "y", T, plays=1)
        await stage.checkpoint()
        assert await plays(stage) == {"x": 1, "y": 1}
        stage.source.put(0, row_key("7", "x", T), None)
        await stage.checkpoint()
        assert await plays(stage) == {"y": 1}


async def test_a_read_does_not_wait_for_a_write(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.row("7", "x", T, plays=1)
        await stage.checkpoint()
        writer = sqlite3.connect(tmp_path / "report.sqlite", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute('UPDATE "rows_entry_1m" SET plays = 99')
        assert await plays(stage) == {"x": 1}
        writer.execute("ROLLBACK")
        writer.close()


async def test_a_write_that_fails_is_done_again_from_the_stored_offsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails = [sqlite3.OperationalError("disk is full")]
    whole = ReadModel.apply

    def apply(self: ReadModel, batch: Batch) -> None:
        if fails:
            raise fails.pop()
        whole(self, batch)

    monkeypatch.setattr(ReadModel, "apply", apply)
    monkeypatch.setattr("pipeline.report.feed.PAUSE_SECONDS", 0.01)
    async with report(tmp_path) as stage:
        stage.row("7", "x", T, plays=1)
        await stage.checkpoint()
        assert await plays(stage) == {"x": 1}
    assert sum("disk is full" in record.message for record in caplog.records) == 1


async def test_a_topic_in_doubt_is_read_again_from_the_stored_offsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.report.feed.PAUSE_SECONDS", 0.01)
    async with report(tmp_path) as stage:
        stage.row("7", "x", T, plays=1)
        await stage.checkpoint()
        stage.source.away = True
        stage.row("7", "x", T, plays=2)
        stage.source.away = False
        await stage.checkpoint()
        assert await plays(stage) == {"x": 2}


def test_rows_long_past_their_retention_are_dropped_without_a_tombstone(tmp_path: Path) -> None:
    #   10s rows are kept 6 h; a day later they go, 1h rows stay
    model = ReadModel(tmp_path / "report.sqlite", lambda: T + 41 * 3600)
    model.open(Identity("t", {}))
    source = FakeSource()
    for window in ("10s", "1h"):
        for start in (T, T + 26 * 3600):
            source.put(0, row_key("7", "x", start, window), b'{"plays":1}')
    newest = (T + 40 * 3600) * 1000
    source.put(0, b'{"position":0}', orjson.dumps({"offset": 1, "time": newest, "ledger": {}}))
    model.apply(fold(source.log))
    assert model.expire() == 1
    connection = sqlite3.connect(tmp_path / "report.sqlite")
    left = {w: connection.execute(f'SELECT start FROM "{TABLES["entry", w].name}"').fetchall() for w in ("10s", "1h")}
    connection.close()
    model.close()
    assert left == {"10s": [(T + 26 * 3600,)], "1h": [(T,), (T + 26 * 3600,)]}


@pytest.mark.parametrize("number", [sign * size for sign in (1, -1) for size in (2**63 - 1, 2**63, 2**64 - 1, 2**65)])
def test_no_number_of_a_record_stops_the_ones_behind_it(tmp_path: Path, number: int) -> None:
    said = b"%d" % number
    values = [b'{"offset":%s,"time":1}', b'{"offset":1,"time":%s}', b'{"offset":1,"time":1,"ledger":{"beacons":%s}}']
    source, key = FakeSource(), row_key("7", "x", T)
    source.put(0, key.replace(b"%d" % T, said), b'{"plays":1}')
    source.put(0, key.replace(b'"partition":0', b'"partition":' + said), b'{"plays":1}')
    source.put(0, key, b'{"plays":%s}' % said)
    source.put(0, b'{"position":%s}' % said, b'{"offset":1,"time":1}')
    for value in values:
        source.put(0, b'{"position":0}', value % said)
    source.put(0, row_key("7", "y", T), b'{"plays":1}')
    model = ReadModel(tmp_path / "report.sqlite")
    model.open(Identity("t", {}))
    model.apply(fold(source.log))
    assert model.next_offsets == {0: len(source.log)}
    model.close()


@pytest.mark.parametrize(("newest", "now"), [(T + 500 * 86_400, T + 60), (T + 60, T + 500 * 86_400)])
def test_one_clock_that_is_ahead_drops_no_row(tmp_path: Path, newest: int, now: int) -> None:
    #   an ingest's clock, or this machine's: the other one knows better
    model, source = ReadModel(tmp_path / "report.sqlite", lambda: now), FakeSource()
    model.open(Identity("t", {}))
    for window in ("10s", "1m", "1h"):
        source.put(0, row_key("7", "x", T, window), b'{"plays":1}')
    source.put(0, b'{"position":0}', orjson.dumps({"offset": 1, "time": newest * 1000, "ledger": {}}))
    model.apply(fold(source.log))
    assert model.expire() == 0
    model.close()


def test_the_feed_needs_no_event_loop(tmp_path: Path) -> None:
    source, seen = FakeSource(), []
    source.put(0, row_key("7", "x", T), b'{"plays":1}')
    source.put(0, b'{"position":0}', b'{"offset":0,"time":1}')
    feed = Feed(source, ReadModel(tmp_path / "report.sqlite"), seen.append)
    feed.start()
    while not seen or not seen[-1].caught_up:
        assert feed.alive()
    feed.stop()
    assert (seen[-1].revision, seen[-1].complete, sum(one.rows for one in seen)) == (1, True, 1)
    readers = Readers(tmp_path / "report.sqlite", 1, 1.0)
    readers.close()
