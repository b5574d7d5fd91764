"""A worker is killed: another one counts on from its warm copy within ten seconds, where a cold start takes longer."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest
from confluent_kafka import Producer

from pipeline.batch import pack_marks
from pipeline.config import WorkerSettings
from tests.e2e.commands import did
from tests.e2e.crew import are_warm, opened
from tests.e2e.line import Line
from tests.e2e.reading import Reader, differences, stage_losses
from tests.e2e.sender import Journal, Outcome, Sender
from tests.e2e.table import stored_beacons, table_of
from tests.e2e.traffic import traffic
from tests.e2e.wait import Stalls

pytestmark = pytest.mark.e2e

PARTITIONS = 4
# Of each partition, from the days before: enough that reading them takes seconds.
OLD_MARKS = 1_000_000
RATE = 400
SECONDS = 20
KILL_AFTER = 6
# From a 200 to the report, where nobody died: a machine that takes longer for that takes longer for the rest.
QUIET_SECONDS = 2


def leave_old_marks(line: Line) -> None:
    """Let the line have been running for long: marks in topic seen, as a rebuild carries them over."""
    producer = Producer({"bootstrap.servers": line.bootstrap, "compression.type": "lz4"})
    now = int(time.time())
    for number in range(PARTITIONS):
        for _ in range(OLD_MARKS // 10_000):
            digests = os.urandom(160_000)
            marks = [(digests[16 * at : 16 * at + 16], 0, now) for at in range(10_000)]
            producer.produce(f"{line.prefix}seen", pack_marks(marks), b"carried", number)
    assert producer.flush(60) == 0


@pytest.mark.usefixtures("spools_in_memory")
async def test_a_killed_workers_partitions_count_again_within_ten_seconds(line: Line) -> None:
    line.settings["PARTITIONS"] = str(PARTITIONS)
    await line.topics()
    await asyncio.to_thread(leave_old_marks, line)
    by_default = {"WORKER_SESSION_TIMEOUT_MS": str(WorkerSettings().session_timeout_ms)}
    first, second = (line.worker(f"worker-{number}", **by_default) for number in (1, 2))
    for process in (line.ingest(), line.report(), first):
        process.start_only()
    for process in list(line.processes.values())[1:]:
        if process is not second:
            await process.ready()
    cold = max(opened(first).values())
    second.start_only()
    warming = await are_warm((first, second), PARTITIONS)
    shown = json.loads(await did(line, "status", "--json"))["partitions"]
    assert {(share["owner"].partition(" ")[0], *share["copies"]) for share in shown} == {
        ("worker-1", "worker-2"),
        ("worker-2", "worker-1"),
    }

    journal, reader = Journal(), Reader(line.report_url)
    requests = traffic(8, RATE * SECONDS)
    stalls = Stalls()
    async with asyncio.TaskGroup() as group:
        stalling = group.create_task(stalls.run())
        sending = group.create_task(Sender(line.ingest_port, journal).send(requests, RATE * 1.1))
        await asyncio.sleep(KILL_AFTER)
        quiet = await reader.counted(time.time_ns() // 1_000_000, 60)
        logged = len(second.log.read_text())
        first.kill()
        killed_ms = time.time_ns() // 1_000_000
        again = await reader.counted(killed_ms, 60)
        await sending
        await reader.counted(journal.last_acked_ms, 60)
        stalling.cancel()

    warm = opened(second, logged)
    slowest = max(warm.values())
    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    print(
        f"{OLD_MARKS * PARTITIONS} old marks: cold start {cold:.2f} s, copies warm {warming:.1f} s after a second "
        f"worker began; counted after {quiet:.1f} s, killed: after {again:.1f} s, partitions {sorted(warm)} opened in "
        f"{slowest:.2f} s"
    )
    assert stage_losses(journal, stored) == []
    assert differences(table_of(stored), await reader.table()) == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
    assert len(warm) == PARTITIONS // 2
    assert slowest < cold / 2
    assert again <= 10 + 4 * max(0, quiet - QUIET_SECONDS) + stalls.seconds
