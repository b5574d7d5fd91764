"""Kafka is away while beacons go on coming: all are answered 200 from the spool, drained fast, counted exactly.

A minute by default, in the machine's own company; OUTAGE_MINUTES=10 RATE=1000 is the promise
(with `-o faulthandler_timeout=0`, as it takes longer than pytest lets a test take), on a disk that nobody else uses.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import free_port
from tests.chaos.checks import Verdict, judge
from tests.chaos.sending import Journal, Sender
from tests.chaos.stage import ProxiedBroker
from tests.chaos.topics import read_beacons, read_windows
from tests.chaos.watch import Reader
from tests.e2e.line import Line
from tests.e2e.traffic import traffic
from tests.e2e.wait import Stalls, until
from tests.pipeline.life import folder

pytestmark = pytest.mark.e2e

MINUTES = float(os.environ.get("OUTAGE_MINUTES", "1"))
IS_LONG = "OUTAGE_MINUTES" in os.environ
RATE = int(os.environ.get("RATE", "1000"))
MOST_MEMORY_MIB = 256
# Traffic is planned by parts of so many seconds.
PART_SECONDS = 20


def memory_mib(pid: int) -> float:
    """Return the most that a process has had in memory."""
    (line,) = (text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if text.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Path]:
    """Give ingest a disk: the real one for the promise, else one in memory.

    Where others keep the real one busy a sync takes seconds, and a beacon that is on no disk after half a second is
    refused, as it must be.
    """
    with folder() as path:
        yield tmp_path / "spool" if IS_LONG else path


async def test_ten_minutes_without_kafka_lose_nothing(tmp_path: Path, spools: Path) -> None:
    broker = ProxiedBroker(tmp_path / "kafka", free_port(), {})
    line = Line(broker.bootstrap, "outage-", tmp_path / "line", INGEST_SPOOL_MIN_FREE_MIB="0")
    line.spools = spools
    try:
        await broker.start()
        await line.topics()
        ingest, report = line.ingest(), line.report()
        await asyncio.gather(*(part.start() for part in (ingest, line.worker("worker"), report)))
        journal = Journal()
        sender = Sender(line.ingest_port, journal)
        await sender.send(traffic(1, RATE, 0), RATE)
        await Reader(line.report_url, "").counted(journal.acked[-1][0], 60)

        broker.kill()
        for part in range(max(1, round(MINUTES * 60 / PART_SECONDS))):
            await sender.send(traffic(100 + part, RATE * PART_SECONDS, 0), RATE)
        sender.close()
        spooled, memory = spool_bytes(line), memory_mib(ingest.pid)
        assert segments(line), "nothing was spooled"

        await broker.start()
        # With the second or two that ingest takes to find Kafka again.
        stalls = Stalls()
        stalling = asyncio.create_task(stalls.run())
        took = await until(lambda: not segments(line), MINUTES * 60 + 60, "the spool is empty", every=0.02)
        stalling.cancel()
        rate = MINUTES * 60 / (took - stalls.seconds)
        counted = await Reader(line.report_url, "").counted(int(time.time() * 1000), MINUTES * 120 + 120)
        print(
            f"{journal.sent} beacons in {MINUTES:g} min, answers {dict(journal.answers)}, "
            f"p99 {journal.slowest(0.99) * 1000:.0f} ms, slowest {journal.slowest(1) * 1000:.0f} ms, "
            f"{memory:.0f} MiB in memory at most, {spooled >> 20} MiB spooled, "
            f"drained in {took:.1f} s: {rate:.0f} times as fast as it came; counted {counted:.1f} s later"
        )
        beacons = read_beacons(line.bootstrap, f"{line.prefix}beacons")
        windows = read_windows(line.bootstrap, f"{line.prefix}windows")
        verdict = judge(journal.outcomes, beacons, windows, await Reader(line.report_url, "").whole_table())
    finally:
        line.close()
        broker.kill()
    assert dict(journal.answers) == {"200": journal.sent}
    assert memory <= MOST_MEMORY_MIB
    # How fast is a matter of the machine, and of its company; that it drains at all was awaited.
    assert not IS_LONG or rate >= 5
    assert verdict == Verdict(0, 0, [])


def segments(line: Line) -> int:
    """Return how many files the spool has."""
    return len(list(line.spools.rglob("*.seg")))


def spool_bytes(line: Line) -> int:
    """Return how much the spool holds."""
    return sum(path.stat().st_size for path in line.spools.rglob("*.seg"))
