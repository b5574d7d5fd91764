"""Kafka has it, else the spool has it on disk, else 503; and what was promised reaches Kafka in the end, once."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from pathlib import Path

import pytest

from ingest.frames import read_frames
from ingest.machine import CannotStart
from ingest.sink import WrongTopic
from tests.line.ingest_line import (
    FakeKafka,
    Mood,
    ends,
    ingest_line,
    metrics,
    numbers,
    read_answer,
    segment_files,
    sent,
    statuses,
    until,
)

# Kafka gets little time. An answer may take long, so that a machine that stalls for a moment cuts nobody.
FAST = {"ingest_kafka_ms": 60, "ingest_answer_ms": 9000}


def break_disk(monkeypatch: pytest.MonkeyPatch, error: int = errno.EIO) -> None:
    def fails(fd: int) -> None:
        raise OSError(error, "disk")

    monkeypatch.setattr("ingest.segments.os.fdatasync", fails)


async def test_with_kafka_away_at_the_start_beacons_are_kept_and_come_to_kafka_later(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
        assert (await line.get("/ready")).status == 200
        assert statuses(await sent(line, 1, 30)) == {200}
        times = [time.time() * 1000]
        assert metrics(line, "spooled", "produced") == (30, 0)
        kafka.away = False
        await until(lambda: len(kafka.beacons()) == 30)
        assert numbers(line) == list(range(1, 31))
        assert all(beacon.time <= times[0] for beacon in kafka.beacons())
        await until(lambda: metrics(line, "drained", "spool_bytes") == (30, 0))


async def test_a_record_that_kafka_keeps_waiting_is_answered_from_the_spool_in_time(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        await until(lambda: bool(kafka.beats))
        # Heartbeats are not what is held here.
        kafka.mood, kafka.beat_mood = Mood.SILENT, Mood.TAKES
        start = time.monotonic()
        assert statuses(await sent(line, 1, 5)) == {200}
        assert time.monotonic() - start < 5, "waited for Kafka as long as an answer may take"
        assert metrics(line, "spooled", "produced") == (5, 0)
        # The circuit is open now: the next do not even wait for Kafka.
        held = len(kafka.held)
        assert statuses(await sent(line, 6, 9)) == {200}
        assert len(kafka.held) == held


async def test_a_late_acknowledgement_brings_the_same_beacon_twice_by_one_id(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        await until(lambda: bool(kafka.beats))
        kafka.mood = Mood.SILENT
        assert statuses(await sent(line, 1, 1)) == {200}
        kafka.mood = Mood.TAKES
        kafka.release()
        await until(lambda: len(kafka.beacons()) == 2)
        first, second = kafka.beacons()
        assert first == second
        assert metrics(line, "answered", "produced", "spooled", "late") == (1, 0, 1, 1)


async def test_a_record_that_kafka_gives_up_goes_to_the_spool_at_once(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, ingest_kafka_ms=5000, ingest_answer_ms=9000) as line:
        await until(lambda: bool(kafka.beats))
        kafka.mood = Mood.FAILS
        start = time.monotonic()
        assert statuses(await sent(line, 1, 3)) == {200}
        assert time.monotonic() - start < 4, "waited for Kafka in spite of its failure"
        kafka.mood = Mood.TAKES
        await until(lambda: len(kafka.beacons()) == 3)


async def test_a_producer_that_is_full_sends_beacons_to_the_spool(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
        await until(lambda: bool(kafka.beats))
        kafka.mood = Mood.FULL
        assert statuses(await sent(line, 1, 3)) == {200}
        assert metrics(line, "spooled") == (3,)
        kafka.mood = Mood.TAKES
        await until(lambda: len(kafka.beacons()) == 3)


async def test_with_neither_kafka_nor_disk_the_answer_is_503_and_nothing_is_counted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
        with monkeypatch.context() as patched:
            break_disk(patched)
            answers = await sent(line, 1, 4)
            assert statuses(answers) == {503}
            assert statuses(await sent(line, 5, 5)) == {503}
            for answer in answers:
                assert answer is not None
                assert answer.headers["retry-after"] == "5"
                assert answer.headers["access-control-allow-origin"] == "*"
            assert (await line.get("/ready")).status == 503
        await until(lambda: line.process._spool._rest_until < asyncio.get_running_loop().time())
        assert statuses(await sent(line, 6, 6)) == {200}
        assert (await line.get("/ready")).status == 200
        kafka.away = False
        await until(lambda: bool(kafka.beacons()))
        assert numbers(line) == [6]
        ledger = line.process.ledger
        assert (ledger.received, ledger.answered, ledger.refused) == (6, 1, {"not_stored": 5})


async def test_what_kafka_may_have_is_never_answered_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, ingest_kafka_ms=60, ingest_answer_ms=300) as line:
        await until(lambda: bool(kafka.beats))
        kafka.mood = Mood.SILENT
        with monkeypatch.context() as patched:
            break_disk(patched)
            reader, writer = await line.connect()
            writer.write(b"GET /collect?sessionId=s&n=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await ends(reader)
        assert metrics(line, "cut", "answered", "waiting") == (1, 0, 0)


async def test_with_the_disk_gone_kafka_is_still_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ingest_line(tmp_path) as line:
        await until(lambda: bool(line.kafka.beats))
        break_disk(monkeypatch)
        assert statuses(await sent(line, 1, 5)) == {200}
        assert (await line.get("/ready")).status == 200


async def test_a_disk_that_hangs_lets_nobody_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka) as line:
        with monkeypatch.context() as patched:
            hangs = threading.Event()
            patched.setattr("ingest.segments.os.fdatasync", lambda fd: hangs.wait(30))
            start = time.monotonic()
            hanging = asyncio.create_task(sent(line, 1, 1))
            await until(lambda: bool(line.process._spool._writing))
            waiting = asyncio.create_task(sent(line, 2, 2))
            # The first may be on disk, nobody knows; the second has touched nothing.
            assert (statuses(await hanging), statuses(await waiting)) == ({0}, {503})
            assert statuses(await sent(line, 3, 3)) == {503}
            assert time.monotonic() - start < 8, "waited for the disk"
            hangs.set()
            await until(lambda: not line.process._spool._writing)
        assert metrics(line, "cut", "received", "waiting") == (1, 3, 0)


async def test_a_full_spool_refuses_and_takes_again_when_it_was_drained(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_spool_max_mib=1, ingest_answer_ms=9000) as line:
        assert metrics(line, "spool_max_bytes") == (1 << 20,)
        big = "x" * 15_000
        results = [(await line.get(f"/collect?pad={big}&n={n}")).status for n in range(100)]
        kept = results.count(200)
        assert (60 < kept < 72, results.count(503)) == (True, 100 - kept)
        assert results == [200] * kept + [503] * (100 - kept)
        assert line.process._segments.bytes() <= 1 << 20
        assert (await line.get("/ready")).status == 503
        kafka.away = False
        await until(lambda: len(kafka.beacons()) == kept and metrics(line, "spool_bytes") == (0,))
        assert (await line.get("/collect?n=100")).status == 200


async def test_too_little_free_disk_refuses(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_spool_min_free_mib=1 << 40) as line:
        assert (await line.get("/collect?n=1")).status == 503
        assert segment_files(tmp_path) == []


@pytest.mark.parametrize("line_says", ["topic t.beacons does not exist: create it with `python -m pipeline topics`"])
async def test_topics_that_are_not_as_they_must_be_stop_the_start_with_one_line(tmp_path: Path, line_says: str) -> None:
    kafka = FakeKafka()
    kafka.wrong_topic = WrongTopic(line_says)
    with pytest.raises(CannotStart) as refusal:
        async with ingest_line(tmp_path, kafka):
            pass
    assert str(refusal.value) == line_says


async def test_a_topic_that_vanishes_later_sends_beacons_to_the_spool_until_it_is_back(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
        kafka.wrong_topic = WrongTopic("gone")
        kafka.topics_doubtful = True
        assert statuses(await sent(line, 1, 3)) == {200}
        assert kafka.beacons() == []
        kafka.wrong_topic = None
        await until(lambda: numbers(line) == [1, 2, 3])


async def test_the_stop_puts_what_it_read_on_disk_when_kafka_does_not_answer(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        await until(lambda: bool(kafka.beats))
        kafka.mood = Mood.SILENT
        reader, writer = await line.connect()
        writer.write(b"GET /collect?sessionId=s&n=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: bool(line.process.ledger.waiting))
        stopping = asyncio.create_task(line.stop())
        assert (await read_answer(reader)).status == 200
        await stopping
    (file,) = segment_files(tmp_path)
    assert [frame.beacons for frame in read_frames(file.read_bytes()).frames] == [1]
