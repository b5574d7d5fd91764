"""The owner: what it opens, feeds, writes and gives up, and that every doubt ends in the true table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from pipeline.changelog import Lost
from pipeline.opening import Refused
from pipeline.partition import Partition
from tests.pipeline.life import Sent, folder, ruled, truth
from tests.pipeline.state_topics import Fault, MemoryChangelog
from tests.pipeline.worker_in_memory import Worker, World, in_memory, until

PLAYS = [Sent(index=n, entry=f"e{n % 3}") for n in range(12)]
TRUTH = truth([PLAYS])


@pytest_asyncio.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    with folder() as base:
        world = World(base)
        world.add(0, *PLAYS)
        world.add(1, *PLAYS[:4])
        in_memory(world, monkeypatch)
        yield world
        world.gate.set()


@pytest_asyncio.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    worker = world.worker()
    yield worker
    world.gate.set()
    await worker.owner.close()


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


# -- gaps


async def test_a_gap_is_read_again_from_the_missing_record(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump(0, 3)
    worker.fetch.next[0] = 6
    await worker.pump(0)
    assert worker.fetch.starts == [(0, 0), (0, 3)]
    await worker.caught_up()
    assert (world.table(), "lostOffsets" in world.ledger()) == (TRUTH, False)


async def test_a_record_that_kafka_does_not_give_when_asked_is_a_hole_in_the_ledger(
    world: World, worker: Worker
) -> None:
    worker.fetch.lost |= {(0, 3), (0, 4)}
    await worker.assigned(0)
    await worker.caught_up()
    assert world.table() == truth([PLAYS[:3] + PLAYS[5:]])
    assert world.ledger() == {"beacons": 10, "unique": 10, "lostOffsets": 2}


async def test_two_holes_are_two_holes(world: World, worker: Worker) -> None:
    worker.fetch.lost |= {(0, 0), (0, 6)}
    await worker.assigned(0)
    await worker.caught_up()
    assert world.ledger()["lostOffsets"] == 2
    assert world.table() == truth([PLAYS[1:6] + PLAYS[7:]])


async def test_what_was_fetched_before_a_gap_was_found_is_never_taken_for_a_hole(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump(0, 2)
    worker.fetch.next[0] = 4
    on_their_way = [worker.fetch.take(0, 3), worker.fetch.take(0, 3), worker.fetch.take(0, 2)]
    for found in on_their_way:
        await worker.give(0, found)
    await worker.caught_up()
    assert (world.table(), "lostOffsets" in world.ledger()) == (TRUTH, False)


async def test_what_was_fetched_before_a_partition_was_opened_again_is_never_taken_for_a_hole(
    world: World, worker: Worker
) -> None:
    await worker.assigned(0)
    await worker.pump(0, 2)
    await worker.written()
    await worker.pump(0, 2)
    on_their_way = [worker.fetch.take(0, 3), worker.fetch.take(0, 3)]
    world.kafka[0].fault = Fault.ABORTED
    await worker.written()
    await until(lambda: worker.owner.is_ready)
    assert worker.owner.held()[0].position == 1
    for found in on_their_way:
        await worker.give(0, found)
    await worker.caught_up()
    assert (world.table(), "lostOffsets" in world.ledger()) == (TRUTH, False)


async def test_retention_that_overtook_the_reader_is_followed_and_the_hole_counted(
    world: World, worker: Worker
) -> None:
    worker.fetch.retain_from(0, 5)
    await worker.assigned(0)
    await worker.caught_up()
    assert world.table() == truth([PLAYS[5:]])
    assert world.ledger() == {"beacons": 7, "unique": 7, "lostOffsets": 5}


async def test_while_kafka_does_not_say_where_its_log_begins_the_question_stays(world: World, worker: Worker) -> None:
    worker.fetch.retain_from(0, 5)
    worker.fetch.silent = True
    await worker.assigned(0)
    await worker.pump()
    await worker.owner.follow_retention()
    assert worker.fetch.out_of_range == {0}
    worker.fetch.silent = False
    await worker.caught_up()
    assert world.ledger()["lostOffsets"] == 5


async def test_a_log_that_ends_before_the_position_is_a_doubt(world: World, worker: Worker) -> None:
    await worker.assigned(0)
    await worker.pump()
    await worker.written()
    worker.fetch.out_of_range.add(0)
    await worker.owner.follow_retention()
    assert worker.given_up("doubt") == 1
    await until(lambda: worker.owner.is_ready)


async def test_a_partition_out_of_range_that_is_not_open_is_passed_over(world: World, worker: Worker) -> None:
    worker.fetch.out_of_range.add(7)
    await worker.owner.follow_retention()
    assert worker.fetch.out_of_range == set()


# -- doubts


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


def _raise(*_: Any) -> Any:
    raise OSError("disk")


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


# -- rebalances


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
