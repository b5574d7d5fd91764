"""Two workers over one partition, whatever happens to them: zombies, faults, late deliveries; the table is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch import Records
from tests.pipeline.life import Sent, folder, truth
from tests.pipeline.lines import NOON
from tests.pipeline.state_topics import Fault, Record
from tests.pipeline.worker_in_memory import Worker, World, in_memory, until

# 28 events, of which 12 come a second time.
BEACONS = [
    Sent(f"s{n % 4}", n // 4, f"e{n % 2}", "4242", (3, 99)[n % 2], NOON + n // 4 * 7, 125)
    for n in (*range(28), *range(12))
]
TRUTH = truth([BEACONS])


class Chaos:
    """What may happen, by name; each takes the worker that it happens to."""

    def __init__(self, world: World, data: Any) -> None:
        self.world = world
        self.data = data
        self.on_their_way: list[tuple[Worker, Records]] = []
        self.steps: dict[str, Callable[[Worker], Awaitable[None]]] = {
            "take": self.take,
            "fetch": self.fetch,
            "deliver": self.deliver,
            "checkpoint": self.checkpoint,
            "begin a checkpoint": self.begin,
            "assign": self.assign,
            "revoke": self.revoke,
            "abort": self.abort,
            "unknown": self.unknown,
            "tear": self.tear,
            "jump": self.jump,
        }

    async def take(self, worker: Worker) -> None:
        await self.fetch(worker)
        while any(to is worker for to, _ in self.on_their_way):
            await self.deliver(worker)

    async def fetch(self, worker: Worker) -> None:
        found = worker.fetch.take(0, 3)
        if found is not None:
            self.on_their_way.append((worker, found))

    async def deliver(self, worker: Worker) -> None:
        """Hand over what was fetched first: on its way through Faust it may be late, never out of order."""
        for number, (to, found) in enumerate(self.on_their_way):
            if to is worker:
                del self.on_their_way[number]
                await to.give(0, found)
                return

    async def checkpoint(self, worker: Worker) -> None:
        await worker.written()

    async def begin(self, worker: Worker) -> None:
        worker.owner.checkpoint()

    async def assign(self, worker: Worker) -> None:
        """Give the partition to this worker; the other one may not hear of it: a zombie."""
        await worker.assigned(0)

    async def revoke(self, worker: Worker) -> None:
        await worker.owner.assign([])

    async def abort(self, worker: Worker) -> None:
        self.world.kafka[0].fault = Fault.ABORTED

    async def unknown(self, worker: Worker) -> None:
        self.world.kafka[0].fault = Fault.UNKNOWN

    async def tear(self, worker: Worker) -> None:
        def torn(batch: list[Record]) -> list[Record]:
            return [record for number, record in enumerate(batch) if number % 3]

        self.world.kafka[0].torn = torn

    async def jump(self, worker: Worker) -> None:
        """Let a fetch leave records out; not the first one asked for, that would be a hole in Kafka."""
        if worker.fetch.starts and worker.fetch.next.get(0, -1) > worker.fetch.starts[-1][1]:
            worker.fetch.next[0] = min(len(BEACONS), worker.fetch.next[0] + 2)


async def _live(world: World, steps: list[tuple[str, bool]], data: Any) -> None:
    workers = world.worker("a"), world.worker("b")
    chaos = Chaos(world, data)
    for step, second in steps:
        await chaos.steps[step](workers[second])
    # Heal: the first worker owns it, and all that is still on its way arrives.
    world.kafka[0].fault, world.kafka[0].torn = Fault.NONE, None
    await workers[1].owner.assign([])
    await workers[0].owner.assign([0])
    await until(lambda: set(workers[0].owner.held()) == {0})
    for to, found in chaos.on_their_way:
        await to.give(0, found)
    await workers[0].caught_up()
    for worker in workers:
        await worker.owner.close()


_NAMES = sorted(Chaos(None, None).steps)  # type: ignore[arg-type]


@given(steps=st.lists(st.tuples(st.sampled_from(_NAMES), st.booleans()), max_size=30), data=st.data())
def test_whatever_happens_to_two_workers_the_table_is_the_truth(steps: list[tuple[str, bool]], data: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, folder() as base:
        world = World(base)
        world.add(0, *BEACONS)
        in_memory(world, monkeypatch)
        asyncio.run(_live(world, steps, data))
        assert world.table() == TRUTH
        ledger = world.ledger()
        assert "lostOffsets" not in ledger
        assert ledger["beacons"] == len(BEACONS) == ledger["unique"] + ledger["duplicates"]
