"""One worker becomes four, and four become two, under load: every row stays exact, and the lag is gone again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp
import pytest

from tests.e2e.crew import are_warm
from tests.e2e.line import Line, Process
from tests.e2e.reading import Reader, Watch, differences, stage_losses
from tests.e2e.sender import Journal, Outcome, keep_sending
from tests.e2e.table import stored_beacons, table_of

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


@pytest.mark.usefixtures("spools_in_memory")
async def test_every_row_is_exact_while_workers_become_four_and_two(line: Line) -> None:
    [first] = await line.start(WORKER_EVEN_OUT_S=EVEN_OUT_S)
    crew = [first, *(line.worker(f"worker-{number}", WORKER_EVEN_OUT_S=EVEN_OUT_S) for number in (2, 3, 4))]
    journal, reader, done = Journal(), Reader(line.report_url), asyncio.Event()
    watch, seen = Watch(reader), list[str]()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch.run())
        looking = group.create_task(_lag(line.report_url, time.monotonic(), crew, seen))
        loading = group.create_task(keep_sending(line.ingest_port, journal, RATE, done))
        await reader.counted(time.time_ns() // 1_000_000, 60)
        for worker in crew[1:]:
            worker.start_only()
        for worker in crew[1:]:
            await worker.ready()
        four = await are_warm(crew, PARTITIONS, each=2)
        # At once: which of the two that stay has the copies is chance, and so is how even it is at first.
        await asyncio.gather(*(worker.stop() for worker in crew[2:]))
        two = await are_warm(crew[:2], PARTITIONS, each=4)
        again = await reader.counted(time.time_ns() // 1_000_000, 60)
        done.set()
        await loading
        await reader.counted(journal.last_acked_ms, 60)
        looking.cancel()
        watching.cancel()

    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    print(*seen, sep="\n")
    print(f"{journal.sent} requests, {dict(journal.answers)}; even among four after {four:.1f} s, two {two:.1f} s")
    print(f"with two workers left, a moment was counted {again:.1f} s later; {watch.reads} reads")
    assert stage_losses(journal, stored) == []
    assert differences(table_of(stored), await reader.table()) == []
    assert watch.shrunk == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
