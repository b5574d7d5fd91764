"""State is counted again from beacons, beside the running one and in its place, and no row is another."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.e2e.commands import beacon, broker_of, counted, did, put, rows_of, run
from tests.e2e.line import Line

pytestmark = pytest.mark.e2e

HOUR_MS = 3_600_000


def cut_beacons(line: Line) -> None:
    """Take away the first half of every partition of topic `beacons`, as retention would."""
    broker = broker_of(line)
    ends = broker.ends(broker.topics.beacons)
    admin = AdminClient({"bootstrap.servers": line.bootstrap})
    cut = [TopicPartition(broker.topics.beacons, part, end // 2) for part, end in ends.items()]
    for asked in admin.delete_records(cut).values():
        asked.result()


async def test_a_rebuild_gives_the_same_rows_although_half_of_the_beacons_are_gone(line: Line) -> None:
    await line.topics()
    # As Kafka itself shows settings, and refuses copies that it has no brokers for.
    raised = await run(line, "topics", WORKER_DEDUPE_HORIZON_S="86401")
    assert raised.err.endswith(f"--entity-name {line.prefix}seen --add-config retention.ms=172802000\n")
    refused = await run(line, "topics", REPLICATION="3", TOPIC_PREFIX=f"{line.prefix}three-")
    assert (refused.code, "REPLICATION=3 asks for more brokers than Kafka has" in refused.err) == (2, True)
    now = time.time_ns() // 1_000_000
    beacons = [beacon(number, now - 2 * HOUR_MS + number * 5_000) for number in range(1_400)]
    worker = await line.worker("worker-1").start()
    # Sessions repeat themselves: some after what they repeat is gone from the log.
    put(line, [*beacons, *beacons[::7]])
    await counted(line)
    before = rows_of(line)

    refused = await run(line, "rebuild", "--yes")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"workers of group {line.prefix}pipeline are alive: stop worker-1 at 127.0.0.1 first")

    beside = await did(line, "rebuild", "--beside", f"{line.prefix}v2-")
    assert f"{line.prefix}v2-windows has caught up" in beside
    assert rows_of(line, f"{line.prefix}v2-") == before
    assert (await did(line, "verify", STATE_PREFIX=f"{line.prefix}v2-")).endswith(": all equal\n")

    await worker.stop()
    cut_beacons(line)
    put(line, beacons[::70])
    assert "the state is empty: start the workers" in await did(line, "rebuild", "--yes", "--no-wait")
    await line.worker("worker-1").start()
    status = await counted(line)
    assert rows_of(line) == before
    assert status["addsUp"]
