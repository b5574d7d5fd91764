"""The owner in doubt: whatever failed, it gives up, opens again, and the table is true."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.partition import Partition
from tests.pipeline.state_topics import Fault, MemoryChangelog
from tests.pipeline.worker_in_memory import TRUTH, Worker, World, until


def _raise(*_: Any) -> Any:
    raise OSError("disk")


@pytest.mark.parametrize("fault", [Fault.ABORTED, Fault.UNKNOWN])
async def test_a_checkpoint_of_unknown_end_is_a_doubt_and_the_table_is_true(
    world: World, worker: Worker, fault: Fault
) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    world.kafka[0].fault = fault
    await worker.written()
    assert worker.given_up("doubt") == 1
    await until(lambda: worker.owner.is_ready)
    assert worker.owner.held()[0].position == (4 if fault is Fault.UNKNOWN else -1)
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_a_torn_checkpoint_is_a_doubt_and_heals(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    world.kafka[0].torn = lambda batch: batch[2:]
    await worker.written()
    await until(lambda: worker.owner.is_ready)
    assert worker.owner.held()[0].is_healing
    await worker.pump(0, 2)
    await worker.written()
    assert world.kafka[0].position().offset == 4
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_an_owner_that_was_fenced_gives_up_and_opens_again_if_it_is_still_its(
    world: World, worker: Worker
) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    MemoryChangelog(world.kafka[0]).fence()
    await worker.written()
    assert (worker.given_up("fenced"), world.table()) == (1, {})
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_a_fold_that_fails_never_raises_and_is_a_doubt(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.assigned(0)
    with monkeypatch.context() as broken:
        broken.setattr(Partition, "take", _raise)
        await worker.pump(0, 3)
    assert (worker.given_up("doubt"), world.acks[0]) == (1, [])
    await until(lambda: worker.owner.is_ready)
    await worker.caught_up()
    assert world.table() == TRUTH


@pytest.mark.parametrize("when", ["at the bound", "at the second", "at the end"])
async def test_a_checkpoint_that_cannot_be_prepared_never_raises_and_is_a_doubt(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    world.checkpoint_cells = 1 if when == "at the bound" else 1_000_000
    worker = world.worker()
    await worker.assigned(0)
    with monkeypatch.context() as broken:
        broken.setattr(Partition, "prepare", _raise)
        await worker.pump(0, 3)
        if when == "at the second":
            worker.owner.checkpoint()
        if when == "at the end":
            await worker.owner.settle()
    assert worker.given_up("doubt") == 1
    await until(lambda: worker.owner.is_ready)
    await worker.caught_up()
    assert world.table() == TRUTH
    await worker.owner.close()


async def test_a_store_that_cannot_be_written_is_a_doubt_although_kafka_has_the_checkpoint(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.assigned(0)
    await worker.pump(0, 5)
    with monkeypatch.context() as broken:
        broken.setattr("pipeline.store.Store.apply", _raise)
        await worker.written()
    await until(lambda: worker.owner.is_ready)
    assert worker.owner.held()[0].position == 4
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_a_store_that_is_damaged_is_wiped_and_the_table_is_true(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: Any) -> Any:
        raise Exception("Corruption: block checksum mismatch")

    await worker.assigned(0)
    await worker.pump(0, 5)
    await worker.written()
    wiped: list[object] = []
    from pipeline.store import Store

    wipe = Store.wipe
    monkeypatch.setattr(Store, "wipe", lambda self: (wiped.append(self), wipe(self)))
    with monkeypatch.context() as broken:
        broken.setattr(Store, "marks", damaged)
        await worker.pump(0, 3)
    await until(lambda: worker.owner.is_ready)
    assert len(wiped) == 1
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_a_partition_whose_store_cannot_be_closed_is_opened_again_all_the_same(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.assigned(0)
    close = MemoryChangelog.close

    def fails(self: MemoryChangelog) -> None:
        close(self)
        raise OSError("fenced")

    with monkeypatch.context() as broken:
        broken.setattr(MemoryChangelog, "close", fails)
        world.kafka[0].fault = Fault.ABORTED
        await worker.pump(0, 2)
        await worker.written()
        await until(lambda: worker.owner.is_ready)
    await worker.caught_up()
    assert world.table() == TRUTH


async def test_a_store_that_cannot_be_closed_keeps_neither_the_others_nor_the_end_waiting(
    world: World, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    await worker.assigned(0, 1)
    first, second = (worker.owner._open[number] for number in (0, 1))
    close, first.store.close = first.store.close, _raise  # type: ignore[method-assign]
    await worker.owner.close()
    close()
    assert "closing partition 0 failed" in caplog.text
    assert [owned.changelog.closed for owned in (first, second)] == [True, True]  # type: ignore[attr-defined]
