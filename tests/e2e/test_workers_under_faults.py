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

from tests.e2e.commands import did
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


class Faults:
    """What befalls the workers, drawn from a seed, all at the same time; two of them always come back.

    kill    |--x--x--x--x--x--x--x|  every 8 s, in every second case with the local state gone
    freeze  |----======-------====|  one at a time, for longer than its session lasts
    guest   |--------+=====-------|  a third worker joins and leaves in order
    """

    def __init__(self, line: Line, workers: list[Process], seed: int) -> None:
        self._line = line
        self._workers = workers
        self._draw = random.Random(seed)
        self._began = 0.0
        self._frozen: Process | None = None
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Bring faults for so long, then let everything heal."""
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again(self._kill, 8, seconds))
            group.create_task(self._again_and_again(self._freeze, 22, seconds))
            group.create_task(self._again_and_again(self._guest, 30, seconds))
        for worker in self._workers:
            await worker.ready()

    async def _again_and_again(self, fault: Callable[[], Awaitable[None]], every: float, seconds: float) -> None:
        for turn in range(1, int(seconds / every) + 1):
            due = self._began + every * turn - self._draw.uniform(0, 0.4) * every
            await asyncio.sleep(due - time.monotonic())
            await fault()

    async def _kill(self) -> None:
        """Kill -9; it is started again at once."""
        worker = self._draw.choice([one for one in self._workers if one is not self._frozen])
        worker.kill()
        wiped = self.done["killed"] % 2 == 1
        if wiped:
            self._line.wipe_state(worker.name)
        self.done["killed"] += 1
        self.done["wiped"] += wiped
        worker.start_only()

    async def _freeze(self) -> None:
        """Freeze it until the others have taken over, then let it go on where it stood."""
        self._frozen = self._draw.choice(self._workers)
        self._frozen.freeze()
        await asyncio.sleep(SESSION_SECONDS + self._draw.uniform(2, 4))
        self._frozen.thaw()
        self._frozen = None
        self.done["frozen"] += 1

    async def _guest(self) -> None:
        guest = await self._line.worker(f"guest-{self.done['joined']}").start()
        await asyncio.sleep(self._draw.uniform(2, 6))
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
        rate = await Sender(line.ingest_port, journal).send(requests, RATE * (1 + RESENT))
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
    # The rest of the catalog, every set and metric in every partition, against a plain recount of topic beacons.
    recounted = await did(line, "verify", "--to", str(int(time.time()) + 60))
    assert recounted.endswith(f"rows compared with {line.prefix}windows: all equal\n"), recounted
    assert watch.shrunk == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
    assert promised_and_found(found) == []
    assert rate > 0.9 * RATE * (1 + RESENT)
    assert faults.done["killed"] >= SECONDS // 9
    assert faults.done["wiped"]
    assert faults.done["frozen"]
    assert faults.done["joined"]
