"""Workers are killed, robbed of their state, frozen, join and leave under load: every row stays exact.

On the way an ingest that had no Kafka for an hour comes back and delivers that hour's beacons from its spool.

MINUTES (with `-o faulthandler_timeout=0` where they are many) and SEED make it longer and different; a failing seed
can be run again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from deploy.local.kafka import free_port
from tests.e2e.commands import broker_of, did
from tests.e2e.late import spool
from tests.e2e.line import SESSION_SECONDS, Line, Process
from tests.e2e.reading import Reader, Watch, differences, stage_losses
from tests.e2e.sender import Journal, Outcome, Sender
from tests.e2e.table import Table, counted, rows_of, splits_of, stored_beacons
from tests.e2e.traffic import promised, traffic
from tests.e2e.wait import Stalls, until

pytestmark = pytest.mark.e2e

SECONDS = 60 * float(os.environ.get("MINUTES", "1"))
IS_LONG = "MINUTES" in os.environ
SEED = int(os.environ.get("SEED", "1"))
RATE = 2000
RESENT = 0.1
# As fast as they are answered, before the faults: what this machine can do. Starting workers again takes a part of it.
BURST = 8000
LEFT = 0.5
HOUR = 3600
LATE = 2000


class Faults:
    """What befalls the workers, drawn from a seed, all at the same time; two of them always come back.

    kill    |--x--x--x--x--x--x--x|  every 8 s, in every second case with the local state gone
    freeze  |----======-------====|  one at a time, for longer than its session lasts
    guest   |--------+=====-------|  a third worker joins and leaves in order
    late    |----+x---------------|  an hour's spool is delivered behind newer beacons, and a worker is killed over it
    """

    def __init__(self, line: Line, reader: Reader, workers: list[Process], seed: int) -> None:
        self._line = line
        self._reader = reader
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
            group.create_task(self._late())
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

    async def _late(self) -> None:
        async def newer_are_counted() -> bool:
            async with aiohttp.ClientSession() as session:
                answer = await self._reader.ask(session, window="1h", by="", metrics="views")
            return bool(answer["totals"]["views"] > LATE)

        await until(newer_are_counted, 60, "newer beacons are counted")
        await self._line.ingest("late", free_port()).start()
        await self._kill()
        self.done["late"] += 1

    async def _guest(self) -> None:
        guest = await self._line.worker(f"guest-{self.done['joined']}").start()
        await asyncio.sleep(self._draw.uniform(2, 6))
        await guest.stop(60)
        self.done["joined"] += 1


def promised_and_found(table: Table) -> list[str]:
    """Return one line for each entry whose hours do not add up to what its id promises."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for (window, _, _, entry), row in table.items():
        if window == "1h" and entry is not None:
            sums[entry].update(row)
    found = {entry: (row["plays"], row["views"], row["bufferTime"]) for entry, row in sums.items()}
    return [f"{entry}: is {counts}" for entry, counts in found.items() if counts != promised(entry)]


async def _ingest_needs_no_worker(line: Line, workers: list[Process], journal: Journal, reader: Reader) -> None:
    """See that all is answered 200 while no worker does anything, and that all of it is counted later."""
    # With nothing left to count: no checkpoint is on its way when they are stopped.
    await reader.counted(journal.last_acked_ms, 90)
    for worker in workers:
        worker.freeze()
    positions, answers = broker_of(line).positions, journal.answers.copy()
    before = await asyncio.to_thread(positions)
    await Sender(line.ingest_port, journal).send(traffic(SEED + 3000, LATE, 0), RATE)
    assert before == await asyncio.to_thread(positions)
    assert journal.answers - answers == {"200": LATE}
    for worker in workers:
        worker.thaw()
    await reader.counted(journal.last_acked_ms, 90)


@pytest.mark.usefixtures("spools_in_memory")
async def test_every_row_is_exact_while_workers_die_freeze_join_and_leave(line: Line) -> None:
    workers = await line.start(workers=2)
    requests = traffic(SEED, int(RATE * SECONDS), RESENT)
    journal = Journal()
    now = time.time()
    reader = Reader(line.report_url, now - HOUR)
    watch = Watch(reader)
    faults = Faults(line, reader, workers, SEED)
    # The hour's own sessions, some beacons of them twice; among them re-sends of what others send meanwhile.
    late = traffic(SEED + 1000, LATE, RESENT) + requests[:: len(requests) // 200]
    random.Random(SEED).shuffle(late)
    spool(line.spools / "late", late, round((now - HOUR) * 1000), round(now * 1000))
    for request in late:
        journal.note(request, Outcome.ACKED, "spooled", 0.0)

    can = await Sender(line.ingest_port, journal).send(traffic(SEED + 2000, BURST, 0), 1e9)
    await _ingest_needs_no_worker(line, workers, journal, reader)
    stalls = Stalls()
    async with asyncio.TaskGroup() as group:
        stalling = group.create_task(stalls.run())
        watching = group.create_task(watch.run())
        hurting = group.create_task(faults.run(SECONDS))
        rate = await Sender(line.ingest_port, journal).send(requests, RATE * (1 + RESENT))
        await hurting
        behind = await reader.counted(journal.last_acked_ms, 90)
        watching.cancel()
        stalling.cancel()

    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    found = await reader.table()
    once = list(counted(stored))
    wanted = rows_of(once)
    print(
        f"seed {SEED}: {journal.sent} requests at {rate:.0f}/s of {can:.0f}/s, {dict(journal.answers)}, "
        f"p99 {journal.slowest(0.99) * 1000:.0f} ms; faults {dict(faults.done)}; "
        f"{watch.reads} reads, {len(wanted)} rows; counted {behind:.1f} s after the last answer"
    )
    assert stage_losses(journal, stored) == []
    assert differences(wanted, found) == []
    assert differences(splits_of(once), await reader.splits()) == []
    # The rest of the catalog, every set and metric in every partition, against a plain recount of topic beacons; to
    # the end of this hour, so that no row is left out.
    recounted = await did(line, "verify", "--to", str(int(time.time()) // HOUR * HOUR + HOUR))
    assert recounted.endswith(f"rows compared with {line.prefix}windows: all equal\n"), recounted
    assert watch.shrunk == []
    assert set(journal.outcomes.values()) == {Outcome.ACKED}
    assert promised_and_found(found) == []
    # How fast ingest is beside workers that start is a matter of the machine; that it waits for none was seen before.
    planned = len(requests) / (0.9 * min(RATE * (1 + RESENT), LEFT * can))
    assert not IS_LONG or len(requests) / rate < planned + stalls.seconds
    assert faults.done["killed"] >= SECONDS // 9
    assert faults.done["wiped"]
    assert faults.done["frozen"]
    assert faults.done["joined"]
    assert faults.done["late"]
    assert len({start for window, start, *_ in found if window == "1m"}) > 55, "an hour of minutes was delivered late"
