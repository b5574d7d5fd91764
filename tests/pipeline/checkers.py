"""Short lives of a partition that must end in the truth: each is red when one of its guards is gone."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.fetch import Records
from tests.pipeline.followed import followed
from tests.pipeline.life import Life, Sent, folder, living, truth
from tests.pipeline.lines import NOON
from tests.pipeline.state_topics import TOPICS, Fault, Record
from tests.pipeline.worker_in_memory import World, in_memory, until

# Two partners, three entries; each record holds one new event and a repeat of an earlier one.
EVENTS = [
    Sent(f"s{n % 2}", n // 2, f"e{n % 3}", str(1 + n % 2), (3, 99)[n // 4 % 2], NOON + n * 3, buffer_ms=500)
    for new in range(12)
    for n in (new, max(0, new - 2))
]
LOG = [EVENTS[at : at + 2] for at in range(0, 24, 2)]


class Red(AssertionError):
    """A checker found something wrong."""


def _check(life: Life, wanted: object) -> None:
    if life.finish() != wanted or life.stored_table() != wanted:
        raise Red("the table is not the truth")
    ledger = life.kafka.position().ledger
    outcomes = sum(ledger.get(name, 0) for name in ("unique", "duplicates", "unknownTypes", "rejected"))
    if ledger.get("beacons") != outcomes or ledger.get("beacons", 0) != len(EVENTS):
        raise Red("the ledger does not add up")


# -- the checkers: each a short life of a partition that must end in the truth


def plain_life() -> None:
    """Count with a checkpoint after every third record, memory emptied each time."""
    with living(LOG) as life:
        for _ in LOG:
            life.take(3)
            life.checkpoint()
        _check(life, truth(LOG))


def life_with_crashes() -> None:
    """Die after a checkpoint, before its end is known, with the local state lost; end in order after a failed one."""
    with living(LOG) as life:
        for number, fault in enumerate((Fault.NONE, Fault.UNKNOWN, Fault.NONE, Fault.ABORTED)):
            life.take(2)
            life.checkpoint(fault)
            life.close() if fault is Fault.ABORTED else life.crash(wiped=number == 2)
        _check(life, truth(LOG))


def life_with_a_torn_checkpoint() -> None:
    """Lose a row of the last checkpoint, keep its other rows and its marks."""
    with living(LOG) as life:
        life.take(5)
        life.checkpoint()
        life.take(3)
        life.kafka.torn = lambda batch: batch[1:]
        life.checkpoint()
        _check(life, truth(LOG))


def life_with_a_lost_position_row() -> None:
    """Lose the position row of the last checkpoint, keep rows and marks."""
    with living(LOG) as life:
        life.take(5)
        life.checkpoint()
        life.take(3)
        life.kafka.torn = lambda batch: batch[:-1]
        life.checkpoint()
        _check(life, truth(LOG))


def life_with_late_rows() -> None:
    """See rows of the first checkpoint again behind the second."""
    with living(LOG) as life:
        life.take(5)
        life.checkpoint()
        late: list[Record] = [
            (TOPICS.windows, key, value) for _, key, value in life.kafka.logs[TOPICS.windows] if b"position" not in key
        ]
        life.take(3)
        life.checkpoint()
        life.close()
        life.kafka.append(late)
        _check(life, truth(LOG))


def life_of_two_owners() -> None:
    """Go on writing after another owner took the partition."""
    with living(LOG) as zombie, living(LOG) as owner:
        owner.kafka = zombie.kafka
        zombie.take(4)
        zombie.checkpoint()
        zombie.take(4)
        owner.take(7)
        owner.checkpoint()
        zombie.checkpoint()
        _check(owner, truth(LOG))


def life_with_repeated_deliveries() -> None:
    """Be given records again that are counted, and one too early."""
    with living(LOG) as life:
        life.take(4)
        life.partition.take([(offset, life.log[offset]) for offset in (1, 2, 3)])
        with pytest.raises(Exception, match="next offset is 4"):
            life.partition.take([(6, life.log[6])])
        _check(life, truth(LOG))


def life_while_a_checkpoint_is_on_its_way() -> None:
    """Fold repeats of what the checkpoint under way has."""
    with living(LOG) as life:
        life.take(6)
        batch, places = life.partition.prepare("topic-1", life.now_s)
        life.take(6)
        life.write(batch, places)
        _check(life, truth(LOG))


async def _worker_is_opened_again(base: object) -> World:
    world = World(base)  # type: ignore[arg-type]
    world.add(0, *EVENTS)
    with pytest.MonkeyPatch.context() as patch:
        in_memory(world, patch)
        worker = world.worker()
        await worker.assigned(0)
        await worker.pump(0, 3)
        late: list[Records | None] = [worker.fetch.take(0, 3), worker.fetch.take(0, 3)]
        world.kafka[0].fault = Fault.ABORTED
        await worker.written()
        await until(lambda: worker.owner.is_ready)
        for found in late:
            await worker.give(0, found)
        await worker.caught_up()
        await worker.owner.close()
    return world


def life_of_a_worker_that_opens_again() -> None:
    """Be given, after opening again, what was fetched before."""
    with folder() as base:
        world = asyncio.run(_worker_is_opened_again(base))
        if world.table() != truth([EVENTS]) or "lostOffsets" in world.ledger():
            raise Red("beacons were taken for lost")


def life_of_a_copy() -> None:
    """Take a partition over from a copy that was brought up while checkpoints were written."""
    with followed(LOG) as (life, follower):

        def count(*records: int) -> None:
            for most in records:
                life.take(most)
                life.checkpoint()

        count(2)
        follower.follow(meanwhile=lambda: count(1, 1))
        count(1)
        follower.take_over()
        _check(life, truth(LOG))


def life_of_a_copy_of_a_torn_checkpoint() -> None:
    """Take a partition over from a copy that was brought up when the last checkpoint had lost its marks."""
    with followed(LOG) as (life, follower):
        life.take(3)
        life.checkpoint()
        life.take(3)
        life.kafka.torn = lambda batch: [record for record in batch if record[0] != TOPICS.seen]
        life.checkpoint()
        follower.follow()
        follower.take_over()
        _check(life, truth(LOG))


CHECKERS = (
    plain_life,
    life_with_crashes,
    life_with_a_torn_checkpoint,
    life_with_a_lost_position_row,
    life_with_late_rows,
    life_of_two_owners,
    life_with_repeated_deliveries,
    life_while_a_checkpoint_is_on_its_way,
    life_of_a_worker_that_opens_again,
    life_of_a_copy,
    life_of_a_copy_of_a_torn_checkpoint,
)
