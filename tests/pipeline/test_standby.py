"""The copies of a worker: which it keeps, when it reads, and that no fault of one stops the worker or the others."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from pipeline import standby as standby_module
from pipeline.changelog import Lost
from tests.pipeline.state_topics import MemoryReader
from tests.pipeline.worker_in_memory import TRUTH, Worker, World, until


@pytest_asyncio.fixture
async def owner(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    """The worker that owns both partitions and has counted them."""
    monkeypatch.setattr(standby_module, "ROUND_S", 0.005)
    owner = world.worker("owner")
    await owner.assigned(0, 1)
    await owner.caught_up(0)
    await owner.caught_up(1)
    yield owner
    await owner.owner.close()


@pytest_asyncio.fixture
async def other(world: World, owner: Worker) -> AsyncIterator[Worker]:
    """A worker that owns nothing yet."""
    other = world.worker("other")
    await other.owner.assign([])
    yield other
    world.gate.set()
    await other.standby.close()
    await other.owner.close()


def _positions(worker: Worker) -> dict[int, int]:
    return {copy.number: copy.position for copy in worker.standby.copies()}


async def _take_over(worker: Worker, *numbers: int) -> None:
    await worker.standby.let_go(numbers)
    await worker.assigned(*numbers)


async def test_a_partition_that_was_followed_is_opened_from_its_copy(world: World, other: Worker) -> None:
    await other.standby.follow([0, 1])
    await until(lambda: _positions(other) == {0: 11, 1: 3})
    for kafka in world.kafka.values():
        kafka.logs = {topic: [] for topic in kafka.logs}
    await _take_over(other, 0, 1)
    assert {number: held.position for number, held in other.owner.held().items()} == {0: 11, 1: 3}
    assert _positions(other) == {}


async def test_what_is_no_longer_followed_is_let_go_and_can_be_followed_again(other: Worker) -> None:
    await other.standby.follow([0, 1])
    await until(lambda: _positions(other) == {0: 11, 1: 3})
    await other.standby.follow([1])
    assert _positions(other) == {1: 3}
    await other.standby.follow([0])
    await until(lambda: _positions(other) == {0: 11})


async def test_nothing_is_followed_while_own_partitions_are_being_opened(world: World, other: Worker) -> None:
    await other.standby.follow([0])
    await until(lambda: _positions(other) == {0: 11})
    world.gate.clear()
    await other.owner.assign([1])
    await other.standby.follow([])
    asked: list[bool] = []

    def may_follow() -> bool:
        asked.append(other.owner.is_ready)
        return asked[-1]

    other.standby.may_follow = may_follow
    await other.standby.follow([0])
    await until(lambda: len(asked) > 2)
    assert _positions(other) == {0: -1}
    world.gate.set()
    await until(lambda: _positions(other) == {0: 11})


@pytest.mark.parametrize("fault", [Lost("Kafka is away"), ValueError("unreadable"), OSError("disk")], ids=repr)
async def test_a_fault_is_counted_and_the_copy_is_brought_up_later(other: Worker, fault: Exception) -> None:
    other.reader.faults = [fault, fault]
    await other.standby.follow([0, 1])
    await until(lambda: _positions(other) == {0: 11, 1: 3})
    assert other.standby.faults == 2
    # A client that lost Kafka is not asked again.
    assert other.reader.closed is isinstance(fault, Lost)


async def test_a_damaged_copy_begins_anew(world: World, other: Worker) -> None:
    await other.standby.follow([0])
    await until(lambda: _positions(other) == {0: 11})
    offsets: list[dict[str, int]] = []
    replay = MemoryReader.replay

    def noting(self: MemoryReader, partition: int, wanted: dict[str, int], *rest: object) -> object:
        offsets.append(dict(wanted))
        return replay(self, partition, wanted, *rest)  # type: ignore[arg-type]

    other.reader.faults = [Exception("Corruption: block checksum mismatch")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryReader, "replay", noting)
        await until(lambda: other.standby.faults == 1)
        count = len(offsets)
        await until(lambda: len(offsets) > count + 1)
    assert {} in offsets
    await _take_over(other, 0)
    assert world.table() == TRUTH
    assert other.owner.held()[0].position == 11


async def test_a_folder_is_free_when_its_copy_has_been_let_go_amid_a_round(world: World, other: Worker) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        go_on.wait(10)

    other.reader.meanwhile = wait
    await other.standby.follow([0])
    await asyncio.to_thread(reading.wait, 10)
    letting_go = asyncio.create_task(other.standby.let_go([0]))
    await asyncio.sleep(0)
    assert not letting_go.done()
    go_on.set()
    await letting_go
    await other.assigned(0)
    assert (other.owner.held()[0].position, world.opened.count(0)) == (11, 2)
    assert other.standby.faults == 0


async def test_a_copy_that_cannot_be_closed_keeps_nobody_from_opening(
    other: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await other.standby.follow([0])
    await until(lambda: _positions(other) == {0: 11})
    close = standby_module.Store.close

    def failing(store: standby_module.Store) -> None:
        close(store)
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(standby_module.Store, "close", failing)
        await other.standby.let_go([0])
    await other.assigned(0)


async def test_lag_and_position_of_every_copy_and_the_faults_are_shown(other: Worker) -> None:
    other.metrics.watch_standby(other.standby)
    shown = other.metrics.registry.get_sample_value
    assert shown("worker_standby_lag_seconds", {"partition": "0"}) is None
    other.reader.faults = [Lost("Kafka is away")]
    await other.standby.follow([0])
    assert shown("worker_standby_lag_seconds", {"partition": "0"}) == math.inf
    await until(lambda: shown("worker_standby_position", {"partition": "0"}) == 11)
    lag = shown("worker_standby_lag_seconds", {"partition": "0"})
    assert lag is not None
    assert 0 <= lag < 5
    assert shown("worker_standby_faults_total") == 1
    other.standby.copies()[0].fresh_at -= 100
    other.standby.copies()[0].due += 100
    assert (shown("worker_standby_lag_seconds", {"partition": "0"}) or 0) > 99


async def test_the_end_waits_for_nothing_but_the_round_under_way(other: Worker) -> None:
    await other.standby.follow([0, 1])
    await until(lambda: _positions(other) == {0: 11, 1: 3})
    await asyncio.wait_for(other.standby.close(), 5)
    assert other.reader.closed
    assert _positions(other) == {}
