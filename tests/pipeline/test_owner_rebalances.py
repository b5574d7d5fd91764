"""The owner when partitions come and go, and at its own end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.partition import Partition
from tests.pipeline.life import ruled, truth
from tests.pipeline.state_topics import Fault, MemoryChangelog
from tests.pipeline.worker_in_memory import PLAYS, TRUTH, Worker, World, until


def _raise(*_: Any) -> Any:
    raise OSError("disk")


async def test_on_a_revoke_everything_folded_is_written(world: World, worker: Worker) -> None:
    await worker.assigned(0, 1)
    await worker.pump(0)
    await worker.pump(1)
    await worker.owner.settle()
    assert (world.table(0), world.table(1)) == (TRUTH, truth([PLAYS[:4]]))
    assert world.acks == {0: [11], 1: [3]}


async def test_on_a_revoke_a_checkpoint_under_way_and_what_came_since_are_written(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    worker.owner.checkpoint()
    await worker.pump(0)
    await worker.owner.settle()
    assert world.table() == TRUTH


async def test_a_partition_kept_over_a_rebalance_keeps_its_memory(world: World, worker: Worker) -> None:
    await worker.assigned(0, 1)
    await worker.pump(0, 5)
    kept = worker.owner.held()[0]
    await worker.assigned(0)
    assert worker.owner.held() == {0: kept}
    assert kept.position == 4
    await worker.assigned(0, 1)
    assert worker.owner.held()[0] is kept
    assert sorted(world.opened) == [0, 1, 1]


async def test_a_partition_given_up_is_written_first_and_read_no_more(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    await worker.owner.assign([])
    assert (world.table(), worker.fetch.next) == (truth([PLAYS[:5]]), {})


async def test_the_next_owner_goes_on_and_the_old_one_writes_nothing_more(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    other = world.worker("b")
    await other.assigned(0)
    await other.pump(0, 7)
    await other.written()
    await worker.pump(0, 4)
    await worker.owner.assign([])
    assert (worker.given_up("fenced"), world.table()) == (1, truth([PLAYS[:7]]))
    await other.caught_up()
    assert world.table() == TRUTH
    await other.owner.close()


async def test_closing_writes_everything_and_lets_all_go(world: World) -> None:
    worker = world.worker()
    await worker.assigned(0, 1)
    await worker.pump(0)
    await worker.pump(1)
    held = [owned.changelog for owned in worker.owner._open.values()]
    await worker.owner.close()
    assert (world.table(0), world.table(1)) == (TRUTH, truth([PLAYS[:4]]))
    assert [changelog.closed for changelog in held] == [True, True]  # type: ignore[attr-defined]
    assert worker.owner.held() == {}


async def test_a_doubt_waits_for_the_checkpoint_under_way_before_it_closes(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    under_way, go_on = threading.Event(), threading.Event()
    commit = MemoryChangelog.commit

    def slow(self: MemoryChangelog, batch: Any, timeout_s: float = 20.0) -> Any:
        under_way.set()
        go_on.wait(10)
        assert not self.closed
        return commit(self, batch)

    monkeypatch.setattr(MemoryChangelog, "commit", slow)
    await worker.assigned(0)
    await worker.pump(0, 3)
    worker.owner.checkpoint()
    await asyncio.get_running_loop().run_in_executor(None, under_way.wait, 10)
    with monkeypatch.context() as broken:
        broken.setattr(Partition, "take", _raise)
        await worker.pump(0, 3)
    assert worker.given_up("doubt") == 1
    go_on.set()
    await until(lambda: worker.owner.is_ready)
    assert worker.owner.held()[0].position == 2
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_entries_bounded_stay_bounded_over_owners(world: World) -> None:
    world.rules = ruled(max_entries=2)
    for _ in range(4):
        worker = world.worker()
        await worker.assigned(0)
        await worker.pump(0, 3)
        await worker.owner.close()
    entries = {entry: counts["plays"] for (name, _, _, entry), counts in world.table().items() if name == "10s"}
    assert entries == {None: 12, "e0": 4, "e1": 4, "(other)": 4}


async def test_closing_while_a_partition_is_being_opened_leaves_nothing_open(world: World) -> None:
    worker = world.worker()
    world.gate.clear()
    await worker.owner.assign([0])
    await until(lambda: world.opening_now == 1)
    closing = asyncio.create_task(worker.owner.close())
    await asyncio.sleep(0)
    world.gate.set()
    await closing
    # Its folder is free: another worker in the same place can open it.
    again = world.worker()
    await again.assigned(0)
    await again.owner.close()


async def test_closing_after_a_doubt_leaves_nothing_open(world: World) -> None:
    worker = world.worker()
    await worker.assigned(0)
    await worker.pump(0, 3)
    world.kafka[0].fault = Fault.ABORTED
    await worker.written()
    await worker.owner.close()
    again = world.worker()
    await again.assigned(0)
    await again.caught_up()
    assert world.table() == TRUTH
    await again.owner.close()


async def test_an_opening_that_hangs_does_not_hold_up_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.owner.CLOSE_S", 0.01)
    worker = world.worker()
    world.gate.clear()
    await worker.owner.assign([0])
    await until(lambda: world.opening_now == 1)
    await asyncio.wait_for(worker.owner.close(), 5)
