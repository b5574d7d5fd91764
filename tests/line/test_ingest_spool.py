"""What the spool holds comes to Kafka in the end, and the heartbeat in `ingests` tells the truth meanwhile."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ingest.segments import Folder
from tests.line.ingest_line import (
    FakeKafka,
    Mood,
    ingest_line,
    metrics,
    numbers,
    segment_files,
    sent,
    statuses,
    until,
)

# Kafka gets little time, an answer much: a machine that stalls for a moment cuts nobody.
FAST = {"ingest_kafka_ms": 60, "ingest_answer_ms": 9000}


def last_beat(kafka: FakeKafka) -> dict[str, int | None]:
    value = kafka.beats[-1][1]
    assert value is not None
    return json.loads(value)


async def test_a_spool_left_behind_is_drained_with_the_ids_and_times_it_had(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
        await sent(line, 1, 20)
        name = line.process.name
    assert kafka.beats == []
    kafka.away = False
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
        assert line.process.name == name
        await until(lambda: len(kafka.beacons()) == 20)
        assert numbers(line) == list(range(1, 21))
        await until(lambda: segment_files(tmp_path) == [])


async def test_a_drain_that_kafka_interrupts_begins_its_file_again(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
        await sent(line, 1, 10)
        kafka.mood, kafka.beat_mood, kafka.away = Mood.FAILS, Mood.TAKES, False
        await until(lambda: kafka.refused > 0)
        kafka.mood = Mood.TAKES
        await until(lambda: set(numbers(line)) == set(range(1, 11)) and metrics(line, "spool_bytes") == (0,))
        assert len({beacon.id for beacon in kafka.beacons()}) == 10


async def test_drained_lines_are_packed_anew_in_their_own_partitions(tmp_path: Path) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
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
    async with ingest_line(tmp_path / "other", kafka, ingest_answer_ms=9000) as line:
        await sent(line, 1, 3)
    (file,) = segment_files(tmp_path / "other")
    file.rename(orphan.path / file.name)
    kafka.away = False
    async with ingest_line(tmp_path, kafka, ingest_answer_ms=9000) as line:
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
    kafka, began = FakeKafka(), time.time() * 1000
    async with ingest_line(tmp_path, kafka) as line:
        name = line.process.name.encode()
        assert [key for key, _ in kafka.beats][:1] == [name]
        before = time.time() * 1000
        assert began - 1 <= (last_beat(kafka)["time"] or 0) <= before
        assert last_beat(kafka)["pendingSince"] is None
    assert kafka.beats[-1] == (name, None)


async def test_the_heartbeat_tells_since_when_beacons_are_pending(tmp_path: Path) -> None:
    #  kafka takes  | heartbeats only                | everything
    #  beacons  1   |  2 (spool)                     |
    #  says  time,- | time, since the 2nd was spooled| time,-
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        await sent(line, 1, 1)
        kafka.mood, kafka.beat_mood = Mood.SILENT, Mood.TAKES
        before = int(time.time() * 1000)
        await sent(line, 2, 2)
        answered = int(time.time() * 1000)
        await until(lambda: last_beat(kafka)["pendingSince"] is not None)
        since = last_beat(kafka)["pendingSince"] or 0
        assert before <= since <= answered
        kafka.mood = Mood.TAKES
        kafka.release()
        await until(lambda: last_beat(kafka)["pendingSince"] is None)
        said = [json.loads(value) for _, value in kafka.beats if value]
        assert {one["pendingSince"] for one in said} == {None, since}
        promised = [one["pendingSince"] or one["time"] for one in said]
        assert promised == sorted(promised)


async def test_a_stop_with_a_full_spool_leaves_its_name_in_place(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, **FAST) as line:
        kafka.mood = Mood.SILENT
        await sent(line, 1, 1)
        name = line.process.name.encode()
    assert (name, None) not in kafka.beats


@pytest.mark.parametrize("step", [3600, -3600])
async def test_a_step_of_the_clock_loses_nothing_and_is_metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    async with ingest_line(tmp_path, **FAST) as line:
        await sent(line, 1, 3)
        real = time.time
        monkeypatch.setattr("ingest.process.time", lambda: real() + step)
        await until(lambda: metrics(line, "clock_jumps") == (1,))
        line.kafka.mood, line.kafka.beat_mood = Mood.SILENT, Mood.TAKES
        assert statuses(await sent(line, 4, 6)) == {200}
        line.kafka.mood = Mood.TAKES
        line.kafka.release()
        await until(lambda: set(numbers(line)) == {1, 2, 3, 4, 5, 6})
        assert metrics(line, "clock_jumps", "waiting") == (1, 0)
