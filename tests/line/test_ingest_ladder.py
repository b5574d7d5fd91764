"""Kafka has it, else the spool has it on disk, else 503; and what was promised reaches Kafka in the end, once."""

from __future__ import annotations

import asyncio
import errno
import json
import time
from pathlib import Path

import pytest

from ingest.frames import read_frames
from ingest.machine import CannotStart
from ingest.segments import Folder
from ingest.sink import WrongTopic
from tests.line.ingest_line import Answer, FakeKafka, Line, Mood, ends, ingest_line, read_answer, until

FAST = {"ingest_kafka_ms": 60, "ingest_answer_ms": 300}


def metrics(line: Line, *names: str) -> tuple[int, ...]:
    return tuple(getattr(line.process.ledger, name) for name in names)


async def sent(line: Line, first: int, last: int) -> list[Answer | None]:
    requests = (f"GET /collect?sessionId=s{n}&n={n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(first, last + 1))
    return list(await asyncio.gather(*(line.send(request.encode()) for request in requests)))


def statuses(answers: list[Answer | None]) -> set[int]:
    return {answer.status if answer else 0 for answer in answers}


def numbers(line: Line) -> list[int]:
    return sorted(int(beacon.query.rpartition(b"=")[2]) for beacon in line.kafka.beacons())


def last_beat(kafka: FakeKafka) -> dict[str, int | None]:
    value = kafka.beats[-1][1]
    assert value is not None
    return json.loads(value)


def segment_files(folder: Path) -> list[Path]:
    return list(folder.glob("spool/*/*.seg"))


def break_disk(monkeypatch: pytest.MonkeyPatch, error: int = errno.EIO) -> None:
    def fails(fd: int) -> None:
        raise OSError(error, "disk")

    monkeypatch.setattr("ingest.segments.os.fdatasync", fails)


async def test_with_kafka_away_at_the_start_beacons_are_kept_and_come_to_kafka_later(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka) as line:
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
        kafka.mood = Mood.SILENT
        start = time.monotonic()
        assert statuses(await sent(line, 1, 5)) == {200}
        assert time.monotonic() - start < 0.5
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
        assert time.monotonic() - start < 1
        kafka.mood = Mood.TAKES
        await until(lambda: len(kafka.beacons()) == 3)


async def test_a_producer_that_is_full_sends_beacons_to_the_spool(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka) as line:
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
    async with ingest_line(tmp_path, kafka) as line:
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
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        await until(lambda: bool(kafka.beats))
        kafka.mood = Mood.SILENT
        with monkeypatch.context() as patched:
            break_disk(patched)
            reader, writer = await line.connect()
            writer.write(b"GET /collect?sessionId=s&n=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await ends(reader, 2)
        assert metrics(line, "cut", "answered", "waiting") == (1, 0, 0)


async def test_with_the_disk_gone_kafka_is_still_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ingest_line(tmp_path) as line:
        await until(lambda: bool(line.kafka.beats))
        break_disk(monkeypatch)
        assert statuses(await sent(line, 1, 5)) == {200}
        assert (await line.get("/ready")).status == 200


async def test_a_disk_that_hangs_lets_nobody_wait_over_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka) as line:
        with monkeypatch.context() as patched:
            patched.setattr("ingest.segments.os.fdatasync", lambda fd: time.sleep(1.5))
            start = time.monotonic()
            hanging = asyncio.create_task(sent(line, 1, 1))
            await until(lambda: bool(line.process._spool._writing))
            waiting = asyncio.create_task(sent(line, 2, 2))
            # The first may be on disk, nobody knows; the second has touched nothing.
            assert (statuses(await hanging), statuses(await waiting)) == ({0}, {503})
            assert statuses(await sent(line, 3, 3)) == {503}
            assert time.monotonic() - start < 1.3
            await until(lambda: not line.process._spool._writing)
        assert metrics(line, "cut", "received", "waiting") == (1, 3, 0)


async def test_a_full_spool_refuses_and_takes_again_when_it_was_drained(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_spool_max_mib=1) as line:
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


async def test_a_spool_left_behind_is_drained_with_the_ids_and_times_it_had(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka) as line:
        await sent(line, 1, 20)
        name = line.process.name
    assert kafka.beats == []
    kafka.away = False
    async with ingest_line(tmp_path, kafka) as line:
        assert line.process.name == name
        await until(lambda: len(kafka.beacons()) == 20)
        assert numbers(line) == list(range(1, 21))
        await until(lambda: segment_files(tmp_path) == [])


async def test_a_drain_that_is_interrupted_begins_its_file_again(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka) as line:
        await sent(line, 1, 10)
        kafka.away, kafka.mood = False, Mood.FAILS
        await until(lambda: not kafka.topics_doubtful)
        kafka.mood = Mood.TAKES
        await until(lambda: set(numbers(line)) == set(range(1, 11)) and metrics(line, "spool_bytes") == (0,))
        assert len({beacon.id for beacon in kafka.beacons()}) == 10


async def test_drained_lines_are_packed_anew_in_their_own_partitions(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka) as line:
        for n in range(40):
            await line.get(f"/collect?sessionId=s{n % 4}&n={n}")
        kafka.away = False
        await until(lambda: len(kafka.beacons()) == 40)
        partitions: dict[bytes, set[int]] = {}
        for partition, value in kafka.records:
            for beacon_line in value.split(b"\n"):
                partitions.setdefault(json.loads(beacon_line)["query"].split("&")[0], set()).add(partition)
        assert [len(found) for found in partitions.values()] == [1] * 4
        assert len(kafka.records) <= 8


async def test_a_folder_without_an_owner_is_emptied_and_its_name_signed_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.drain._ORPHANS_EVERY_SECONDS", 0.05)
    orphan = Folder.claim(tmp_path / "spool" / "ingest.7")
    assert orphan is not None
    name = orphan.ingest_id("")
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path / "other", kafka) as line:
        await sent(line, 1, 3)
    (file,) = segment_files(tmp_path / "other")
    file.rename(orphan.path / file.name)
    kafka.away = False
    async with ingest_line(tmp_path, kafka) as line:
        await until(lambda: metrics(line, "connections") == (0,) and len(kafka.beats) > 1)
        assert kafka.beacons() == []
        orphan.release()
        await until(lambda: (name.encode(), None) in kafka.beats)
        assert numbers(line) == [1, 2, 3]
        await until(lambda: not orphan.path.exists())
        assert line.process._folder.path.exists()


async def test_two_processes_have_two_folders_and_two_names(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as one, ingest_line(tmp_path) as two:
        assert one.process._folder.path != two.process._folder.path
        assert one.process.name != two.process.name


async def test_a_name_that_was_given_is_used(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_id="edge-1") as line:
        assert (line.process.name, line.process._folder.path.name) == ("edge-1.0", "edge-1.0")


async def test_it_is_signed_on_before_it_listens_and_signs_off_with_an_empty_spool(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka) as line:
        name = line.process.name.encode()
        assert [key for key, _ in kafka.beats][:1] == [name]
        before = time.time() * 1000
        assert before - 2000 < (last_beat(kafka)["time"] or 0) <= before
        assert last_beat(kafka)["pendingSince"] is None
    assert kafka.beats[-1] == (name, None)


async def test_the_heartbeat_tells_since_when_beacons_are_pending(tmp_path: Path) -> None:
    #  kafka      takes   | holds records, then takes heartbeats only ... | takes
    #  beacons      1     |    2 (spool)                                  |
    #  says    time, null |    time, since the 2nd was spooled            | time, null
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        await sent(line, 1, 1)
        kafka.mood = Mood.SILENT
        before = int(time.time() * 1000)
        await sent(line, 2, 2)
        answered = int(time.time() * 1000)
        since = line.process._spool.since()
        assert since is not None
        assert before <= since <= answered
        kafka.mood = Mood.TAKES
        kafka.release()
        await until(lambda: last_beat(kafka)["pendingSince"] is None and (last_beat(kafka)["time"] or 0) > answered)
        said = [json.loads(value) for _, value in kafka.beats if value]
        assert all(one["pendingSince"] is None or one["pendingSince"] == since for one in said)
        promised = [one["pendingSince"] or one["time"] for one in said]
        assert promised == sorted(promised)


async def test_a_stop_with_a_full_spool_leaves_its_name_in_place(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        kafka.mood = Mood.SILENT
        await sent(line, 1, 1)
        name = line.process.name.encode()
    assert (name, None) not in kafka.beats


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
    async with ingest_line(tmp_path, kafka) as line:
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
