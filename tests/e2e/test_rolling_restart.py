"""Every process is restarted, one after another, twice, under load: nobody outside notices, and nothing moves."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import pytest

from deploy.local.kafka import free_port
from tests.e2e.balancer import Balancer
from tests.e2e.crew import are_warm, assignments
from tests.e2e.line import Line, Process
from tests.e2e.reading import Reader, differences, stage_losses
from tests.e2e.sender import Journal, Outcome, Sender, keep_sending
from tests.e2e.table import stored_beacons, table_of
from tests.e2e.traffic import traffic
from tests.e2e.wait import Stalls

pytestmark = pytest.mark.e2e

PARTITIONS = 4
# Where ROLLING_RATE says no other: a quarter of what the line can, at most. If it could but twice of what comes,
# catching up with an absence would take as long as the absence.
MOST_RATE = 1000
OF_WHAT_IT_CAN = 1 / 4
BURST = 4000
ROUNDS = 2
# A worker that comes back within its session moves nothing. Here a start can take seconds on two cores that all
# processes share with the load: the session is long, so that only a restart that never comes back would move something.
SESSION_MS = 60_000
# What the line promises where a worker is back in a few seconds. On a machine where others take the cores, starting a
# Python process alone takes longer: there, countedThrough may stand while the worker is away and catches up.
STANDS_SECONDS = 10
CATCHING_UP = 1.5


@dataclass(slots=True)
class Clock:
    """How long countedThrough stood still at most, read from whichever report answers.

    Attributes:
        longest: seconds, since somebody set it to 0. through: the latest countedThrough, Unix seconds.
    """

    reports: list[Process]
    longest: float = 0.0
    through: float = 0.0

    async def run(self) -> None:
        """Read until cancelled."""
        moved = time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            while True:
                for report in self.reports:
                    through = await _through(session, report)
                    if through > self.through:
                        self.through, moved = through, time.monotonic()
                self.longest = max(self.longest, time.monotonic() - moved)
                await asyncio.sleep(0.1)


async def _through(session: aiohttp.ClientSession, report: Process) -> float:
    try:
        async with session.get(f"{report.url}/v1/status") as answer:
            return float((await answer.json())["countedThrough"] or 0) if answer.status == 200 else 0.0
    except (aiohttp.ClientError, TimeoutError):
        return 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """Every process restarted once, one right after another.

    Attributes:
        took: of each, how long it was away. stood: how long countedThrough did, and the machine.
    """

    took: dict[str, float]
    stood: float
    stalls: float

    def stands_as_promised(self) -> bool:
        away = max(seconds for name, seconds in self.took.items() if name.startswith("worker"))
        return self.stood <= max(STANDS_SECONDS, CATCHING_UP * away) + self.stalls

    def __str__(self) -> str:
        return f"restarts { {name: round(s, 1) for name, s in self.took.items()} }, stood still {self.stood:.1f} s"


async def _round(everything: Sequence[Process], clock: Clock, stalls: Stalls, reader: Reader) -> Round:
    clock.longest, stalls_before, took = 0.0, stalls.seconds, {}
    for process in everything:
        began = time.monotonic()
        await process.stop()
        await process.start()
        took[process.name] = time.monotonic() - began
    # However long that takes: each worker that came back catches up.
    await reader.counted(time.time_ns() // 1_000_000, 120)
    return Round(took, clock.longest, stalls.seconds - stalls_before)


async def _rate(port: int, journal: Journal, reader: Reader) -> float:
    """Return how many beacons a second are to come, by what the line takes and counts while nobody hurts it."""
    if said := os.environ.get("ROLLING_RATE"):
        return float(said)
    quiet = await reader.counted(time.time_ns() // 1_000_000, 60)
    began = time.monotonic()
    await Sender(port, journal).send(traffic(0, BURST, 0), 1e9)
    await reader.counted(journal.last_acked_ms, 120)
    can = BURST / max(0.1, time.monotonic() - began - quiet)
    return min(MOST_RATE, OF_WHAT_IT_CAN * can)


@pytest.mark.usefixtures("spools_in_memory")
async def test_rolling_restarts_are_seen_by_nobody_and_move_nothing(line: Line) -> None:
    line.settings["PARTITIONS"] = str(PARTITIONS)
    await line.topics()
    ingests = [line.ingest(f"ingest-{n}", free_port(), INGEST_STOP_DELAY_SECONDS="1") for n in (1, 2)]
    workers = [
        line.worker(name, WORKER_INSTANCE_ID=name, WORKER_SESSION_TIMEOUT_MS=str(SESSION_MS))
        for name in ("worker-1", "worker-2")
    ]
    reports = [line.report("report-1"), line.report("report-2", free_port())]
    everything = [*ingests, *workers, *reports]
    for process in everything:
        process.start_only()
    for process in everything:
        await process.ready()
    await are_warm(workers, PARTITIONS)
    settled = [assignments(worker) for worker in workers]

    journal, clock, done, stalls = Journal(), Clock(reports), asyncio.Event(), Stalls()
    # One for all of it: it asks from the hour on in which it was made.
    balancer, reader = Balancer(free_port(), ingests), Reader(line.report_url)
    async with asyncio.TaskGroup() as group:
        served = group.create_task(balancer.run())
        rate = await _rate(balancer.port, journal, reader)
        loading = group.create_task(keep_sending(balancer.port, journal, rate, done))
        reading = group.create_task(clock.run())
        stalling = group.create_task(stalls.run())
        rounds = [await _round(everything, clock, stalls, reader) for _ in range(ROUNDS)]
        done.set()
        await loading
        await reader.counted(journal.last_acked_ms, 60)
        served.cancel()
        reading.cancel()
        stalling.cancel()

    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    print(
        f"{journal.sent} requests, {dict(journal.answers)}, at {rate:.0f}/s while restarting; "
        f"p99 {journal.slowest(0.99) * 1000:.0f} ms, slowest {max(journal.seconds):.2f} s",
        *rounds,
        sep="\n",
    )
    assert set(journal.answers) == {"200"}
    assert balancer.unserved == 0
    assert stage_losses(journal, stored) == []
    assert differences(table_of(stored), await reader.table()) == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
    for worker, before in zip(workers, settled, strict=True):
        assert assignments(worker)[len(before) :] == [before[-1]] * ROUNDS
    # The better round: in another one, others may have taken the cores.
    assert any(one.stands_as_promised() for one in rounds)
