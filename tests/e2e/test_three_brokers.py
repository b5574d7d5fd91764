"""Three brokers, every topic on all of them, passwords and TLS: one is killed and comes back; every row is exact."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.e2e.reading import Reader, Watch, differences, stage_losses
from tests.e2e.secure import SecureCluster, SecureLine
from tests.e2e.sender import Journal, Outcome, Sender
from tests.e2e.table import Stored, stored_beacons, table_of
from tests.e2e.traffic import traffic
from tests.e2e.wait import until
from tests.pipeline.life import folder

pytestmark = pytest.mark.e2e

RATE = 300
SECONDS = 25
KILL_AFTER = 4
# Its leaders move when the controller misses it (9 s), a worker's session may go with it, and three brokers share two
# cores with the line. Where it was the controller, the two others were seen to answer nobody for 30 s, and then to keep
# whoever opens a partition waiting for 13 to 25 s: how soon it goes on is Kafka's to say, that it does so exactly ours.
COUNTS_WITHIN = 180


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SecureCluster]:
    cluster = SecureCluster(tmp_path / "cluster", nodes=3)
    try:
        yield cluster
    finally:
        cluster.close()


class Disk:
    """Syncs a small file again and again, to know how long the brokers' disk keeps who syncs waiting."""

    def __init__(self, folder: Path) -> None:
        self.longest_s = 0.0
        self._file = (folder / "disk-probe").open("wb")

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.to_thread(self._sync)
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            await asyncio.sleep(0.1)

    def _sync(self) -> None:
        self._file.write(b"0" * 4096)
        self._file.flush()
        os.fdatasync(self._file.fileno())


def in_sync(admin: AdminClient, topic: str) -> dict[int, tuple[int, set[int]]]:
    """Return leader and replicas in sync of each partition."""
    found = admin.list_topics(topic, timeout=30).topics[topic]
    return {number: (place.leader, set(place.isrs)) for number, place in found.partitions.items()}


def stored(cluster: SecureCluster, topic: str) -> list[Stored]:
    """Return every beacon of the topic, read with the certificate of `admin`."""
    entrance = cluster.entrance("admin", "mutual")
    return stored_beacons(
        cluster.bootstrap("mutual"),
        topic,
        security_protocol="SSL",
        ssl_cafile=entrance["KAFKA_CA_FILE"],
        ssl_certfile=entrance["KAFKA_CERT_FILE"],
        ssl_keyfile=entrance["KAFKA_KEY_FILE"],
    )


def _has_all(admin: AdminClient, topic: str) -> bool:
    try:
        return all(found == {1, 2, 3} for _, found in in_sync(admin, topic).values())
    except KafkaException:
        # Nobody answers yet: asked again, up to the bound of who waits.
        return False


@pytest.fixture
def spools() -> Iterator[Path]:
    """Give ingest a disk of its own, in memory.

    On the brokers' disk it would wait for theirs: three that lose one of them and bring it up to date keep who
    syncs there waiting for over a second (measured), and a beacon that is on no disk after half a second is refused.
    """
    with folder() as path:
        yield path


async def test_a_broker_is_killed_and_comes_back_and_every_row_is_exact(
    cluster: SecureCluster, tmp_path: Path, spools: Path
) -> None:
    began = time.monotonic()
    await cluster.start()
    up = time.monotonic() - began
    line = SecureLine(cluster, "scram", "three-", tmp_path / "line", REPLICATION="3", PARTITIONS="4")
    line.spools = spools
    line.settings["INGEST_SPOOL_MIN_FREE_MIB"] = "0"
    try:
        await line.start(workers=2)
        print(f"cluster up after {up:.1f} s, the line on it after {time.monotonic() - began:.1f} s")
        await _killed_and_back(cluster, line)
    except BaseException:
        print(*line.logs(), sep="\n")
        raise
    finally:
        line.close()


async def _killed_and_back(cluster: SecureCluster, line: SecureLine) -> None:
    topic, admin = f"{line.prefix}beacons", AdminClient(cluster.as_admin() | {"log_level": "0"})
    await until(lambda: asyncio.to_thread(_has_all, admin, topic), 120, "all brokers are in sync", every=1)
    leader = (await asyncio.to_thread(in_sync, admin, topic))[0][0]
    broker = cluster.children[leader - 1]
    journal, reader = Journal(), Reader(line.report_url)
    watch, disk = Watch(reader), Disk(line.folder)
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(disk.run())
        watching = group.create_task(watch.run())
        sending = group.create_task(Sender(line.ingest_port, journal).send(traffic(3, RATE * SECONDS), RATE * 1.1))
        await asyncio.sleep(KILL_AFTER)
        broker.finish(0)
        killed = time.time_ns() // 1_000_000
        without = await reader.counted(killed, COUNTS_WITHIN)
        moved = await asyncio.to_thread(in_sync, admin, topic)
        broker.start()
        back = await until(lambda: asyncio.to_thread(_has_all, admin, topic), 300, "the broker is in sync", every=1)
        await sending
        await reader.counted(journal.last_acked_ms, COUNTS_WITHIN)
        watching.cancel()
        probing.cancel()

    beacons = await asyncio.to_thread(stored, cluster, topic)
    print(
        f"{journal.sent} requests, {dict(journal.answers)}, p99 {journal.slowest(0.99) * 1000:.0f} ms; broker {leader} "
        f"killed: counted on after {without:.1f} s; started again: in sync after {back:.1f} s; {watch.reads} reads; "
        f"longest sync {disk.longest_s:.2f} s"
    )
    assert all(leader != now and leader not in found for now, found in moved.values())
    assert stage_losses(journal, beacons) == []
    assert differences(table_of(beacons), await reader.table()) == []
    assert watch.shrunk == []
    assert not journal.keys(Outcome.FAILED)
