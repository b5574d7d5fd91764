"""A damaged file is built again; one that only cannot be read now is kept."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from pipeline.report.readmodel import Identity, ReadModel
from pipeline.report.record import fold
from tests.line.report_stage import FakeSource, T, report, row_key

ASK = f"/v1/report?window=1m&from={T}&to={T + 60}&by=entry&metrics=plays"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.feed.PAUSE_SECONDS", 0.01)


async def filled(folder: Path) -> FakeSource:
    """Leave a file in a folder; return what it was filled from."""
    async with report(folder) as stage:
        stage.row("7", "x", T, plays=1)
        await stage.checkpoint()
        return stage.source


def spoil(path: Path, table: str) -> None:
    """Write rubbish over the first page of a table."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize("table", ["meta", "progress", "position"])
async def test_a_file_that_is_damaged_where_it_says_how_far_it_is_is_built_again(tmp_path: Path, table: str) -> None:
    source = await filled(tmp_path)
    spoil(tmp_path / "report.sqlite", table)
    async with report(tmp_path, source) as stage:
        await stage.until(stage.site.desk.ready)
        assert (await stage.json(ASK))["totals"] == {"plays": 1}


async def test_a_file_whose_words_are_damaged_is_built_again(tmp_path: Path) -> None:
    source = await filled(tmp_path)
    with sqlite3.connect(tmp_path / "report.sqlite") as connection:
        connection.execute("UPDATE position SET ledger = '{'")
    connection.close()
    async with report(tmp_path, source) as stage:
        await stage.until(stage.site.desk.ready)
        assert (await stage.json(ASK))["totals"] == {"plays": 1}


async def test_a_file_with_damaged_rows_is_built_again_when_it_is_written_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    #  rows damaged, nobody asks | a checkpoint comes: built again, answered
    source = await filled(tmp_path)
    spoil(tmp_path / "report.sqlite", "rows_entry_1m")
    caplog.clear()
    async with report(tmp_path, source) as stage:
        stage.offsets = {0: 0}
        stage.row("7", "x", T, plays=4)
        await stage.checkpoint()
        await stage.until(stage.site.desk.ready)
        assert (await stage.json(ASK))["totals"] == {"plays": 4}
    assert sum("built again from Kafka: the file is damaged" in record.message for record in caplog.records) == 1


async def test_a_file_with_damaged_rows_is_built_again_once_when_they_are_asked_for_and_kafka_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    #  Kafka away: 503 and the file as it is | Kafka there: 503, built again, answered
    source = await filled(tmp_path)
    path = tmp_path / "report.sqlite"
    spoil(path, "rows_entry_1m")
    caplog.clear()
    source.away = True
    inode = path.stat().st_ino
    async with report(tmp_path, source) as stage:
        await stage.until(stage.site.desk.ready)
        for _ in range(3):
            assert (await stage.get(ASK)).status == 503
        assert path.stat().st_ino == inode
        source.away = False
        async with asyncio.timeout(30):
            answer = await stage.get(ASK)
            while answer.status == 503:
                answer = await stage.get(ASK)
        assert answer.json["totals"] == {"plays": 1}
    assert sum("built again from Kafka: the file is damaged" in record.message for record in caplog.records) == 1


def test_a_file_that_cannot_be_read_now_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "report.sqlite"
    model, source = ReadModel(path), FakeSource()
    model.open(Identity("t", {}))
    source.put(0, row_key("7", "x", T), b'{"plays":1}')
    model.apply(fold(source.log))
    model.mark_complete()
    model.close()
    # What SQLite wants to keep beside the file cannot be opened, as on a disk without room.
    blocked = tmp_path / "report.sqlite-wal"
    blocked.mkdir()
    for opened in (model.open_as_it_is, lambda: model.open(Identity("t", {0: 1}))):
        with pytest.raises(sqlite3.OperationalError):
            opened()
        model.close()
    blocked.rmdir()
    model.open(Identity("t", {0: 1}))
    assert (model.complete, model.next_offsets) == (True, {0: 1})
    model.close()


async def test_a_report_goes_on_when_a_file_that_could_not_be_read_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await filled(tmp_path)
    blocked = tmp_path / "report.sqlite-wal"
    blocked.mkdir()
    asked: list[Identity] = []
    whole = ReadModel.open

    def opened(self: ReadModel, identity: Identity) -> None:
        asked.append(identity)
        if len(asked) == 2:
            blocked.rmdir()
        whole(self, identity)

    monkeypatch.setattr(ReadModel, "open", opened)
    async with report(tmp_path, source) as stage:
        await stage.until(stage.site.desk.ready)
        assert (await stage.json(ASK))["totals"] == {"plays": 1}
    assert (len(asked), source.started_from) == (2, [{}, {0: 2}])
