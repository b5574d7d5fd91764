"""Workers are killed, robbed of their state, frozen, join and leave under load: every row stays exact.

MINUTES and SEED make it longer and different; a failing seed can be run again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.line import SESSION_SECONDS, Line, Process
from tests.e2e.reading import Reader, Watch, differences, stage_losses
from tests.e2e.sender import Journal, Outcome, Sender
from tests.e2e.table import Table, stored_beacons, table_of
from tests.e2e.traffic import promised, traffic

pytestmark = pytest.mark.e2e

SECONDS = 60 * float(os.environ.get("MINUTES", "1"))
SEED = int(os.environ.get("SEED", "1"))
RATE = 2000
RESENT = 0.1
FAULT_EVERY_SECONDS = 8.0


class Faults:
    """What befalls the workers, drawn from a seed; two of them always come back."""

    def __init__(self, line: Line, workers: list[Process], seed: int) -> None:
        self._line = line
        self._workers = workers
        self._draw = random.Random(seed)
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Bring one fault after the other, kind after kind, then let everything heal."""
        end = time.monotonic() + seconds
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._kill,
            self._freeze,
            self._kill,
            self._third_worker,
        ]
        for turn in range(10_000):
            began = time.monotonic()
            if began + FAULT_EVERY_SECONDS > end:
                break
            await asyncio.sleep(self._draw.uniform(1, 2))
            await kinds[turn % len(kinds)]()
            await asyncio.sleep(max(0.0, began + FAULT_EVERY_SECONDS - time.monotonic()))
        for worker in self._workers:
            await worker.ready()

    async def _kill(self) -> None:
        """Kill -9, and in every second case the local state is gone when it comes back."""
        worker = self._draw.choice(self._workers)
        worker.kill()
        wiped = self.done["killed"] % 2 == 1
        if wiped:
            self._line.wipe_state(worker.name)
        self.done["killed"] += 1
        self.done["wiped"] += wiped
        worker.start_only()

    async def _freeze(self) -> None:
        """Freeze it until the others have taken over, then let it go on where it stood."""
        worker = self._draw.choice(self._workers)
        worker.freeze()
        await asyncio.sleep(SESSION_SECONDS + self._draw.uniform(2, 4))
        worker.thaw()
        self.done["frozen"] += 1

    async def _third_worker(self) -> None:
        """A third worker joins and, in order, leaves."""
        guest = await self._line.worker(f"guest-{self.done['joined']}").start()
        await asyncio.sleep(self._draw.uniform(1, 3))
        await guest.stop()
        self.done["joined"] += 1


def promised_and_found(table: Table) -> list[str]:
    """Return one line for each entry whose hours do not add up to what its id promises."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for (window, _, _, entry), row in table.items():
        if window == "1h" and entry is not None:
            sums[entry].update(row)
    found = {entry: (row["plays"], row["views"], row["bufferTime"]) for entry, row in sums.items()}
    return [f"{entry}: is {counts}" for entry, counts in found.items() if counts != promised(entry)]


async def test_every_row_is_exact_while_workers_die_freeze_join_and_leave(line: Line) -> None:
    workers = await line.start(workers=2)
    requests = traffic(SEED, int(RATE * SECONDS), RESENT)
    journal = Journal()
    reader = Reader(line.report_url)
    watch = Watch(reader)
    faults = Faults(line, workers, SEED)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch.run())
        hurting = group.create_task(faults.run(SECONDS))
        rate = await Sender(line.ingest_url, journal).send(requests, RATE * (1 + RESENT))
        await hurting
        behind = await reader.counted(journal.last_acked_ms, 90)
        watching.cancel()

    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    found = await reader.table()
    wanted = table_of(stored)
    print(
        f"seed {SEED}: {journal.sent} requests at {rate:.0f}/s, {dict(journal.answers)}, "
        f"p99 {journal.slowest(0.99) * 1000:.0f} ms; faults {dict(faults.done)}; "
        f"{watch.reads} reads, {len(wanted)} rows; counted {behind:.1f} s after the last answer"
    )
    assert stage_losses(journal, stored) == []
    assert differences(wanted, found) == []
    assert watch.shrunk == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
    assert promised_and_found(found) == []
    assert rate > 0.95 * RATE * (1 + RESENT)
    assert faults.done["killed"] and faults.done["frozen"] and faults.done["joined"]
