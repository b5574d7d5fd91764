"""The owner: which partitions it opens, and how it counts and acknowledges what it is given."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.changelog import Lost
from pipeline.opening import Refused
from pipeline.partition import Partition
from tests.pipeline.worker_in_memory import TRUTH, Worker, World, until

# -- opening


async def test_a_worker_is_ready_when_all_its_partitions_count(world: World, worker: Worker) -> None:
    assert not worker.owner.is_ready
    world.gate.clear()
    await worker.owner.assign([0, 1])
    assert not worker.owner.is_ready
    world.gate.set()
    await until(lambda: worker.owner.is_ready)
    assert sorted(worker.fetch.starts) == [(0, 0), (1, 0)]


async def test_partitions_open_side_by_side(world: World, worker: Worker) -> None:
    world.gate.clear()
    await worker.owner.assign([0, 1])
    await until(lambda: world.opening_now == 2)
    world.gate.set()
    await until(lambda: worker.owner.is_ready)


async def test_reading_goes_on_behind_the_position_row(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    await worker.written()
    await worker.owner.assign([])
    await worker.assigned(0)
    assert worker.fetch.starts == [(0, 0), (0, 5)]


async def test_an_opening_that_fails_is_tried_again(world: World, worker: Worker) -> None:
    world.open_faults += [Lost("no answer"), OSError("disk"), Lost("fenced", fenced=True)]
    await worker.assigned(0)
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_a_state_of_another_topic_is_refused_once_and_the_worker_is_not_ready(
    world: World, worker: Worker
) -> None:
    world.open_faults.append(Refused("partition 0: deleted and created again"))
    await worker.owner.assign([0, 1])
    await until(lambda: set(worker.owner.held()) == {1} and not worker.owner._opening)
    assert (world.opened, worker.owner.is_ready) == ([1], False)


async def test_a_partition_that_is_not_ours_any_more_when_it_is_open_is_let_go(world: World, worker: Worker) -> None:
    world.gate.clear()
    await worker.owner.assign([0])
    await until(lambda: world.opening_now == 1)
    await worker.owner.assign([])
    world.gate.set()
    await until(lambda: not worker.owner._opening)
    assert (worker.owner.held(), worker.fetch.starts) == ({}, [])
    await worker.assigned(0)


async def test_a_partition_that_becomes_ours_again_while_it_is_let_go_is_opened(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = worker.owner._let_go

    async def ours_again_meanwhile(owned: Any, damaged: bool = False) -> None:
        await let_go(owned, damaged)
        monkeypatch.setattr(worker.owner, "_let_go", let_go)
        await worker.owner.assign([0])

    world.gate.clear()
    await worker.owner.assign([0])
    await until(lambda: world.opening_now == 1)
    await worker.owner.assign([])
    monkeypatch.setattr(worker.owner, "_let_go", ours_again_meanwhile)
    world.gate.set()
    await until(lambda: worker.owner.is_ready)


# -- counting and acknowledging


async def test_what_is_counted_is_acknowledged_only_after_its_checkpoint_is_written(
    world: World, worker: Worker
) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    await worker.pump(0, 2)
    assert world.acks == {0: []}
    worker.owner.checkpoint()
    await worker.pump(0, 1)
    await worker.idle()
    assert world.acks == {0: [4, 6]}
    await worker.written()
    assert world.acks == {0: [4, 6, 7]}


async def test_what_comes_while_no_partition_is_open_is_left_alone(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    found = worker.fetch.take(0)
    await worker.owner.assign([])
    await worker.give(0, found)
    assert (world.acks, world.table()) == ({0: []}, {})


async def test_a_long_fetch_is_folded_in_turns(world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.owner.RECORDS_A_TURN", 2)
    turns: list[int] = []
    take = Partition.take

    def counted(self: Partition, records: Any) -> None:
        turns.append(len(records))
        take(self, records)

    monkeypatch.setattr(Partition, "take", counted)
    await worker.assigned(0)
    await worker.pump(0, 5)
    assert turns == [2, 2, 1]


async def test_many_changed_cells_force_a_checkpoint(world: World) -> None:
    world.checkpoint_cells = 3
    worker = world.worker()
    await worker.assigned(0)
    for _ in range(4):
        await worker.pump(0, 3)
    await worker.idle()
    assert world.kafka[0].position().offset >= 2
    await worker.caught_up()
    assert world.table() == TRUTH
    await worker.owner.close()


async def test_a_checkpoint_is_begun_only_when_the_last_is_written(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    for _ in range(12):
        await worker.pump(0, 1)
        worker.owner.checkpoint()
        worker.owner.checkpoint()
    await worker.idle()
    await worker.caught_up()
    assert world.table() == TRUTH
