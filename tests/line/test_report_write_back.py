"""What the read model's WAL holds is brought into the file beside the writer, who waits for no disk."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import feed as feeds
from pipeline.report import readmodel
from pipeline.report.feed import Feed
from pipeline.report.readmodel import Identity, ReadModel
from pipeline.report.record import fold
from pipeline.report.schema import TABLES
from tests.e2e.wait import until
from tests.line.report_stage import FakeSource, T, row_key

ROWS = f'SELECT count(*), sum(plays) FROM "{TABLES["entry", "1m"].name}"'
ENTRIES = 200


def opened(path: Path, topic: str = "t") -> ReadModel:
    model = ReadModel(path)
    model.open(Identity(topic, {0: 1 << 40}))
    return model


def write(model: ReadModel, batches: int, plays: int = 1) -> None:
    """Write so many batches: each gives every row these plays."""
    for _ in range(batches):
        source = FakeSource()
        for entry in range(ENTRIES):
            source.put(0, row_key("7", f"e{entry}", T), b'{"plays":%d}' % plays)
        model.apply(fold(source.log))


def rows_of_file_alone(path: Path, beside: Path) -> tuple[int, int]:
    """Return rows and plays that the file holds without its WAL, as after a disk has lost that."""
    shutil.copyfile(path, beside)
    connection = sqlite3.connect(beside)
    try:
        found: tuple[int, int] = connection.execute(ROWS).fetchone()
    finally:
        connection.close()
    return found


@contextmanager
def written_back_all_the_time(model: ReadModel) -> Iterator[list[sqlite3.Error]]:
    """Write back all the time, in a thread of its own; yield what went wrong."""
    ended, wrong = threading.Event(), list[sqlite3.Error]()

    def run() -> None:
        while not ended.wait(0.001):
            try:
                model.write_back()
            except sqlite3.Error as error:
                wrong.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield wrong
    finally:
        ended.set()
        thread.join()


def test_the_writer_leaves_in_the_wal_what_a_write_back_brings_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "report.sqlite"
    model = opened(path)
    write(model, 1, plays=1)
    model.write_back()
    write(model, 1, plays=2)
    assert rows_of_file_alone(path, tmp_path / "before") == (ENTRIES, ENTRIES)
    model.write_back()
    assert rows_of_file_alone(path, tmp_path / "after") == (ENTRIES, 2 * ENTRIES)
    model.close()


def test_after_a_write_back_the_wal_begins_anew(tmp_path: Path) -> None:
    model = opened(tmp_path / "report.sqlite")
    wal = tmp_path / "report.sqlite-wal"
    write(model, 10)
    ten = wal.stat().st_size
    for _ in range(5):
        model.write_back()
        write(model, 10)
    assert wal.stat().st_size <= ten
    write(model, 10)
    assert wal.stat().st_size > ten
    model.close()


def test_batches_and_write_backs_side_by_side_lose_and_damage_nothing(tmp_path: Path) -> None:
    #   each batch has rows of its own, many or few: a later one mends nothing of what an earlier one lost
    path = tmp_path / "report.sqlite"
    model, written = opened(path), 0
    with written_back_all_the_time(model) as wrong:
        for batch in range(100):
            source = FakeSource()
            for entry in range(ENTRIES if batch % 2 else 3):
                source.put(0, row_key("7", f"e{batch}-{entry}", T), b'{"plays":1}')
            model.apply(fold(source.log))
            written += len(source.log)
    # What came during the last of them is brought in with what comes next.
    write(model, 1)
    model.write_back()
    written += ENTRIES
    assert wrong == []
    assert rows_of_file_alone(path, tmp_path / "alone") == (written, written)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    model.close()


def test_what_is_in_the_file_already_is_not_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    #   SQLite before 3.51.3 may lose rows where that is done while the WAL begins anew
    path = tmp_path / "report.sqlite"
    model = opened(path)
    opened_beside: list[object] = []
    connect = sqlite3.connect

    def counted(*words: Any, **named: Any) -> sqlite3.Connection:
        opened_beside.append(words)
        return connect(*words, **named)

    monkeypatch.setattr(sqlite3, "connect", counted)
    for batches in range(3):
        model.write_back()
        model.write_back()
        assert len(opened_beside) == batches
        write(model, 1)
    model.close()
    # Nobody but write_back does it: not SQLite itself, at whatever size.
    writer = readmodel.connect(path)
    assert writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    writer.close()


def test_where_the_wal_never_begins_anew_a_batch_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.sqlite"
    model = opened(path)
    write(model, 1)
    monkeypatch.setattr(model, "_wal_pages", readmodel.MOST_WAL_PAGES + 1)
    write(model, 1)
    assert rows_of_file_alone(path, tmp_path / "alone") == (ENTRIES, ENTRIES)
    wal = tmp_path / "report.sqlite-wal"
    size = wal.stat().st_size
    write(model, 1)
    assert wal.stat().st_size == size
    model.close()


def test_a_file_that_is_built_again_meanwhile_is_whole(tmp_path: Path) -> None:
    #   each round another topic: the file is closed, deleted and made anew under the write-back's feet
    path = tmp_path / "report.sqlite"
    model = ReadModel(path)
    with written_back_all_the_time(model) as wrong:
        for number in range(30):
            model.open(Identity(f"topic-{number}", {0: 1 << 40}))
            write(model, 1, number + 1)
            model.close()
            assert not path.with_name(path.name + "-wal").exists()
    assert wrong == []
    assert rows_of_file_alone(path, tmp_path / "alone") == (ENTRIES, 30 * ENTRIES)


def test_nothing_is_written_back_where_no_file_is_open(tmp_path: Path) -> None:
    model = ReadModel(tmp_path / "report.sqlite")
    model.write_back()
    assert list(tmp_path.iterdir()) == []


async def test_the_feed_writes_back_beside_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "WRITE_BACK_SECONDS", 0.01)
    path, source = tmp_path / "report.sqlite", FakeSource()
    source.put(0, row_key("7", "x", T), b'{"plays":3}')
    source.put(0, b'{"position":0}', b'{"offset":0,"time":1}')
    feed = Feed(source, ReadModel(path), lambda _: None)
    feed.start()
    try:

        def is_in_the_file() -> bool:
            try:
                return rows_of_file_alone(path, tmp_path / "alone") == (1, 3)
            except (OSError, sqlite3.Error):
                return False  # not made yet, or copied while it was written

        await until(is_in_the_file, 20, "the row is in the file")
    finally:
        feed.stop()


async def test_a_wal_that_cannot_be_written_back_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feeds, "WRITE_BACK_SECONDS", 0.01)
    tried: list[int] = []

    def refuse(_: ReadModel) -> None:
        tried.append(1)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(ReadModel, "write_back", refuse)
    source, seen = FakeSource(), list[feeds.Applied]()
    feed = Feed(source, ReadModel(tmp_path / "report.sqlite"), seen.append)
    feed.start()
    try:
        await until(lambda: len(tried) > 5, 20, "it is tried again and again")
        source.put(0, row_key("7", "x", T), b'{"plays":3}')
        source.put(0, b'{"position":0}', b'{"offset":0,"time":1}')
        await until(lambda: sum(one.rows for one in seen) == 1, 20, "rows are read on")
    finally:
        feed.stop()
    said = [record.message for record in caplog.records if "not written back" in record.message]
    assert said == ["the read model's WAL is not written back: disk I/O error"]
