"""A drain in whose way something stands: it is told to end, its file is gone, its folder, or a write that failed."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ingest.drain import Drain, Orphans
from ingest.metrics import Ledger
from ingest.segments import NotOnDisk, Segment
from tests.line.ingest_line import ingest_line
from tests.line.test_ingest_drain import Kafka, drained, files, spooled


@pytest.mark.parametrize("turns", range(8))
async def test_a_drain_that_is_told_to_end_ends_wherever_it_is(tmp_path: Path, turns: int) -> None:
    #   Kafka takes the third record, then `turns` turns of the loop, then the word to end
    segments = spooled(tmp_path, (b"x" * (64 << 10),) * 20)
    kafka, third = Kafka(), asyncio.Event()
    send = kafka.send

    def seen(partition: int, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        if len(kafka.taken) == 2:
            third.set()
        return send(partition, value, delivered)

    kafka.send = seen  # type: ignore[method-assign]
    draining = asyncio.create_task(drained(segments, kafka))
    await third.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    draining.cancel()
    await asyncio.wait([draining], timeout=30)
    assert draining.cancelled()
    assert 3 <= len(kafka.taken) < 20


async def test_a_file_that_somebody_deleted_is_lost_and_those_behind_it_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segments = spooled(tmp_path, (b"a", b"b"), (b"c",))
    deleted = files(tmp_path)[0]
    deleted.unlink()
    ledger, taken = await drained(segments)
    assert (taken, ledger.drained, ledger.spool_damaged, segments.oldest()) == ([b"c"], 1, 1, None)
    assert f"spool_file_missing file={deleted.name} beacons_lost_at_most=2" in caplog.text


async def test_a_spool_whose_folder_is_away_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, away = tmp_path / "spool", tmp_path / "away"
    folder.mkdir()
    segments = spooled(folder, (b"a",), (b"b",))
    folder.rename(away)
    wait = asyncio.sleep

    async def back(seconds: float) -> None:
        if away.exists():
            away.rename(folder)
        await wait(0)

    monkeypatch.setattr("ingest.drain.asyncio.sleep", back)
    ledger, taken = await drained(segments)
    assert (taken, ledger.drained, ledger.spool_damaged) == ([b"a", b"b"], 2, 0)
    assert "drain_failed" in caplog.text


async def test_a_file_whose_first_write_failed_while_the_drain_was_at_it_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = spooled(tmp_path)

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def seal(segment: Segment) -> None:
        #   listed as the oldest, then its write fails and takes it off the list
        assert writing.is_alive()
        gate.set()
        await asyncio.to_thread(writing.join)

    gate, listed = threading.Event(), threading.Event()

    def synced(folder: Path) -> None:
        listed.set()
        gate.wait(30)

    def write() -> None:
        with suppress(NotOnDisk):
            segments.append([(1, 0, 1, b"never answered")])

    monkeypatch.setattr("ingest.segments.os.fdatasync", fails)
    monkeypatch.setattr("ingest.segments.sync_folder", synced)
    writing = threading.Thread(target=write)
    writing.start()
    assert await asyncio.to_thread(listed.wait, 30)
    ledger, kafka = Ledger(), Kafka()
    async with asyncio.timeout(30):
        await Drain(kafka, lambda: True, ledger, 1, 1 << 30).empty(segments, seal)
    assert (kafka.taken, ledger.spool_damaged, segments.oldest(), files(tmp_path)) == ([], 0, None, [])


async def test_a_part_that_does_not_end_holds_no_stop_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def deaf(self: Orphans) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(Orphans, "watch", deaf)
    monkeypatch.setattr("ingest.process._PARTS_END_SECONDS", 0.2)
    async with ingest_line(tmp_path) as line:
        await line.stop()
    assert [record.message for record in caplog.records if "part_not_ended" in record.message] == [
        f"part_not_ended part={deaf.__qualname__}"
    ]


async def test_what_kafka_has_of_a_file_that_was_deleted_is_not_taken_for_the_next_of_its_name(tmp_path: Path) -> None:
    #   of one file Kafka takes the first record and refuses the second; the file goes; another has its name
    first = spooled(tmp_path, (b"a" * (64 << 10), b"b" * (64 << 10)))
    kafka = Kafka()
    send = kafka.send

    def refuses_the_second(partition: int, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        if value.startswith(b"b"):
            deleted.unlink()
            delivered("INVALID_RECORD")
            return True
        return send(partition, value, delivered)

    async def seal(segment: Segment) -> None:
        """Nobody writes here."""

    [deleted] = files(tmp_path)
    kafka.send = refuses_the_second  # type: ignore[method-assign]
    drain = Drain(kafka, lambda: True, Ledger(), 1, 1 << 30)
    async with asyncio.timeout(30):
        await drain.empty(first, seal)
        again = spooled(tmp_path, (b"c", b"d"))
        assert files(tmp_path) == [deleted]
        await drain.empty(again, seal)
    assert kafka.taken[1:] == [b"c", b"d"]
