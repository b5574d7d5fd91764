"""The clock of each process in turn jumps an hour ahead, an hour back and right again, under load: exact."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.chaos.checks import Verdict, judge
from tests.chaos.clocked import write_clock
from tests.chaos.sending import Journal, Sender
from tests.chaos.stage import ClockedLine
from tests.chaos.topics import read_windows
from tests.chaos.watch import Reader, Watch, settled
from tests.e2e.broker import Broker
from tests.e2e.traffic import traffic
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e

HOUR = 3600
RATE = 200
# No moment counts for itself here: beacons that must have been received under each clock do.
BEACONS_A_STEP = 300


@pytest.fixture
def clocked(broker: Broker, tmp_path: Path) -> Iterator[ClockedLine]:
    line = ClockedLine(broker.bootstrap, "clocks-", tmp_path / "line")
    try:
        yield line
    finally:
        line.close()


def jumps(url: str) -> int:
    """Return how many jumps of its clock an ingest has seen."""
    with urlopen(f"{url}/metrics") as page:
        found = re.search(r"^\w*clock_jumps\w* (\d+)", page.read().decode(), re.MULTILINE)
    assert found is not None, "ingest does not meter its clock"
    return int(found[1])


async def test_clocks_that_jump_lose_and_double_nothing(clocked: ClockedLine) -> None:
    await clocked.start()
    journal, reader = Journal(), Reader(clocked.report_url, "")
    # Rows must not shrink; promises by two clocks that differ are no promises.
    watch = Watch(reader, journal, lambda: False)
    metered = 0
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch.run())
        sending = group.create_task(_send(clocked.ingest_port, journal))
        for name in ("ingest", "worker-1", "report"):
            for seconds in (HOUR, 0, -HOUR, 0):
                write_clock(clocked.clock(name), seconds)
                metered += name == "ingest"
                # It looks four times a second: two changes between two looks would be one.
                await until(lambda seen=metered: jumps(clocked.ingest_url) == seen, 60, "ingest sees the jump")
                sent = journal.sent
                await until(lambda sent=sent: journal.sent >= sent + BEACONS_A_STEP, 60, "beacons come")
        sending.cancel()
        await reader.counted(journal.acked[-1][0], 90)
        watching.cancel()
    beacons = await settled(reader, clocked.bootstrap, f"{clocked.prefix}beacons", 90)
    windows = read_windows(clocked.bootstrap, f"{clocked.prefix}windows")
    verdict = judge(journal.outcomes, beacons, windows, await reader.whole_table())
    hours = {beacon.time // 1000 // HOUR for beacon in beacons.stored}
    print(f"{journal.sent} beacons sent, {metered} jumps of ingest, {watch.reads} reads; {verdict}")
    assert verdict == Verdict(0, 0, [])
    assert watch.findings == []
    assert len(hours) >= 3, "windows go by the clock of ingest"
    assert jumps(clocked.ingest_url) == metered


async def _send(port: int, journal: Journal) -> None:
    sender, part = Sender(port, journal), 0
    while True:
        part += 1
        await sender.send(traffic(part, RATE * 5, 0.1), RATE)
