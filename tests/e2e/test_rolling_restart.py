"""Every process is restarted, one after another, twice, under load: nobody outside notices, and nothing moves."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from itertools import count

import aiohttp
import pytest

from deploy.local.kafka import free_port
from tests.e2e.balancer import Balancer
from tests.e2e.crew import are_warm, assignments
from tests.e2e.line import Line, Process
from tests.e2e.reading import Reader, differences, stage_losses
from tests.e2e.sender import Journal, Outcome, Sender
from tests.e2e.table import stored_beacons, table_of
from tests.e2e.traffic import traffic
from tests.e2e.wait import Stalls

pytestmark = pytest.mark.e2e

PARTITIONS = 4
# ROLLING_RATE=2000 on a machine that carries it.
RATE = int(os.environ.get("ROLLING_RATE", "1000"))
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
        longest: seconds. through: the latest countedThrough, Unix seconds.
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


async def _load(port: int, journal: Journal, done: asyncio.Event) -> None:
    """Send until told that it is done."""
    for seed in count(1):
        if done.is_set():
            return
        await Sender(port, journal).send(traffic(seed, RATE * 5, entries=10), RATE * 1.1)


async def _restart(process: Process) -> float:
    began = time.monotonic()
    await process.stop()
    await process.start()
    return time.monotonic() - began


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
    balancer = Balancer(free_port(), ingests)
    took: dict[str, float] = {}
    async with asyncio.TaskGroup() as group:
        served = group.create_task(balancer.run())
        loading = group.create_task(_load(balancer.port, journal, done))
        reading = group.create_task(clock.run())
        stalling = group.create_task(stalls.run())
        for _ in range(ROUNDS):
            for process in everything:
                took[process.name] = max(took.get(process.name, 0.0), await _restart(process))
        done.set()
        await loading
        await Reader(line.report_url).counted(journal.last_acked_ms, 60)
        served.cancel()
        reading.cancel()
        stalling.cancel()

    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    print(
        f"{journal.sent} requests, {dict(journal.answers)}, p99 {journal.slowest(0.99) * 1000:.0f} ms, slowest "
        f"{max(journal.seconds):.2f} s; longest restarts { {name: round(s, 1) for name, s in took.items()} }; "
        f"countedThrough stood still {clock.longest:.1f} s at most"
    )
    assert set(journal.answers) == {"200"}
    assert balancer.unserved == 0
    assert stage_losses(journal, stored) == []
    assert differences(table_of(stored), await Reader(line.report_url).table()) == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
    for worker, before in zip(workers, settled, strict=True):
        assert assignments(worker)[len(before) :] == [before[-1]] * ROUNDS
    away = max(took[worker.name] for worker in workers)
    assert clock.longest <= max(STANDS_SECONDS, CATCHING_UP * away) + stalls.seconds
