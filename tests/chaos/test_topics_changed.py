"""The topics change under the line: made again (F22), or emptied ahead of the reader (F23). Never in silence."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.chaos.sending import Journal, Sender
from tests.chaos.topics import read_beacons, read_windows
from tests.chaos.watch import Reader
from tests.e2e.broker import Broker
from tests.e2e.line import Line
from tests.e2e.traffic import traffic
from tests.e2e.wait import until
from tests.pipeline.life import folder

pytestmark = pytest.mark.e2e

BEACONS = 400
PARTITIONS = 2


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Line]:
    """A line that has counted something."""
    broker = Broker(tmp_path / "kafka")
    line = Line(broker.bootstrap, "changed-", tmp_path / "line", PARTITIONS=str(PARTITIONS))
    with folder() as path:
        # On the broker's disk a sync waits for the broker's own, and a beacon that waits for long is refused.
        line.spools, line.settings["INGEST_SPOOL_MIN_FREE_MIB"] = path, "0"
        try:
            await broker.start()
            await line.start()
            yield line
        finally:
            line.close()
            broker.kill()


async def send(line: Line, seed: int) -> Journal:
    """Send some beacons, all of them answered 200."""
    journal = Journal()
    sender = Sender(line.ingest_port, journal)
    await sender.send(traffic(seed, BEACONS, 0), 400)
    sender.close()
    assert dict(journal.answers) == {"200": BEACONS}
    return journal


async def test_beacons_taken_ahead_of_the_reader_are_a_hole_that_is_counted_and_said(running: Line) -> None:
    worker, reader = running.processes["worker-1"], Reader(running.report_url, "")
    await reader.counted((await send(running, 1)).acked[-1][0], 60)
    worker.kill()
    counted = read_windows(running.bootstrap, f"{running.prefix}windows").ledger["beacons"]
    await send(running, 2)
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    # What retention does, at once: everything up to the end is gone.
    places = [TopicPartition(f"{running.prefix}beacons", number, -1) for number in range(PARTITIONS)]
    for taken in admin.delete_records(places).values():
        taken.result()
    await worker.start()
    third = await send(running, 3)
    await reader.counted(third.acked[-1][0], 90)
    windows = read_windows(running.bootstrap, f"{running.prefix}windows")
    # Of the second sending some may have come later, out of the spool.
    there = read_beacons(running.bootstrap, f"{running.prefix}beacons").stored
    assert windows.ledger["beacons"] == counted + len(there)
    assert windows.ledger["lostOffsets"] > 0
    assert worker.log.read_text().count("retention took beacon records") == PARTITIONS


async def test_a_topic_made_again_is_never_counted_on_top_of_the_old_one(running: Line) -> None:
    reader, worker = Reader(running.report_url, ""), running.processes["worker-1"]
    await reader.counted((await send(running, 1)).acked[-1][0], 60)
    counted = read_windows(running.bootstrap, f"{running.prefix}windows").ledger["beacons"]
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    name = f"{running.prefix}beacons"
    admin.delete_topics([name])[name].result()
    await until(lambda: name not in admin.list_topics(timeout=5).topics, 30, "the topic is gone")
    # Ingest keeps what it takes until there is a topic again.
    kept = await send(running, 2)
    await running.topics()
    worker.kill()
    worker.start_only()
    await until(
        lambda: "was deleted and created again" in worker.log.read_text(), 60, "the worker refuses, and says why"
    )
    windows = read_windows(running.bootstrap, f"{running.prefix}windows")
    assert windows.ledger["beacons"] == counted
    answer = await reader.ask("1h", "")
    assert (answer["countedThrough"] or 0) * 1000 < kept.acked[-1][0] <= time.time() * 1000
