"""One worker becomes four, and four become two, under load: every row stays exact, and the lag is gone again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count

import aiohttp
import pytest

from tests.e2e.crew import are_warm, by_partition
from tests.e2e.line import Line, Process
from tests.e2e.reading import Reader, Watch, differences, stage_losses
from tests.e2e.sender import Journal, Outcome, Sender
from tests.e2e.table import stored_beacons, table_of
from tests.e2e.traffic import traffic
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e

PARTITIONS = 8
RATE = 800
EVEN_OUT_S = "5"


async def _lag(url: str, began: float, crew: Sequence[Process], seen: list[str]) -> None:
    """Note once a second how many records are behind, and how many workers run."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/v1/status") as answer:
                behind = (await answer.json())["recordsBehind"]
            running = sum(worker.running for worker in crew)
            seen.append(f"{time.monotonic() - began:.0f} s: {running} workers, {behind} behind")
            await asyncio.sleep(1)


async def _load(port: int, journal: Journal, done: asyncio.Event) -> None:
    """Send until told that it is done."""
    for seed in count(100):
        if done.is_set():
            return
        await Sender(port, journal).send(traffic(seed, RATE * 3, entries=10), RATE * 1.1)


async def _shares(crew: Sequence[Process]) -> list[int]:
    """Return how many partitions each worker counts."""
    return [len(await by_partition(worker, "worker_position")) for worker in crew]


@pytest.mark.usefixtures("spools_in_memory")
async def test_every_row_is_exact_while_workers_become_four_and_two(line: Line) -> None:
    [first] = await line.start(WORKER_EVEN_OUT_S=EVEN_OUT_S)
    crew = [first, *(line.worker(f"worker-{number}", WORKER_EVEN_OUT_S=EVEN_OUT_S) for number in (2, 3, 4))]
    journal, reader, done = Journal(), Reader(line.report_url), asyncio.Event()
    watch, seen = Watch(reader), list[str]()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch.run())
        looking = group.create_task(_lag(line.report_url, time.monotonic(), crew, seen))
        loading = group.create_task(_load(line.ingest_port, journal, done))
        await reader.counted(time.time_ns() // 1_000_000, 60)
        for worker in crew[1:]:
            worker.start_only()
        for worker in crew[1:]:
            await worker.ready()
        await are_warm(crew, PARTITIONS)
        four = await _shares(crew)
        # At once: which of the two that stay has the copies is chance, and so is how even it is at first.
        await asyncio.gather(*(worker.stop() for worker in crew[2:]))

        async def is_even() -> bool:
            return await _shares(crew[:2]) == [4, 4]

        await until(is_even, 60, "the two that are left count four partitions each")
        await are_warm(crew[:2], PARTITIONS)
        two = await _shares(crew[:2])
        again = await reader.counted(time.time_ns() // 1_000_000, 60)
        done.set()
        await loading
        await reader.counted(journal.last_acked_ms, 60)
        looking.cancel()
        watching.cancel()

    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    print(*seen, sep="\n")
    print(f"{journal.sent} requests, {dict(journal.answers)}; partitions of each worker: {four}, then {two}")
    print(f"with two workers left, a moment was counted {again:.1f} s later; {watch.reads} reads")
    assert stage_losses(journal, stored) == []
    assert differences(table_of(stored), await reader.table()) == []
    assert watch.shrunk == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
    assert (four, two) == ([2, 2, 2, 2], [4, 4])
