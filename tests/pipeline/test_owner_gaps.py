"""The owner and what is missing: read again what can be had, count as lost only what Kafka has no more."""

from __future__ import annotations

from tests.pipeline.life import truth
from tests.pipeline.state_topics import Fault
from tests.pipeline.worker_in_memory import PLAYS, TRUTH, Worker, World, until


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


async def test_records_that_do_not_get_here_are_never_taken_for_a_hole(world: World, worker: Worker) -> None:
    """What Kafka gave, again and again:  0 1 2 3 4 5 6 7; what came through: 0 1 . . . 5 6 7."""
    await worker.assigned(0)
    await worker.pump(0, 2)
    for _ in range(4):
        worker.fetch.take(0, 3)
        await worker.pump(0)
    assert worker.fetch.starts == [(0, 0)] + 4 * [(0, 2)]
    await worker.caught_up()
    assert (world.table(), "lostOffsets" in world.ledger()) == (TRUTH, False)


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
