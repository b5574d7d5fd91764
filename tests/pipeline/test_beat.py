"""The beat of checkpoints: one a second for each partition, no two partitions of a worker at one moment."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.owned import Owned, free_beat
from tests.pipeline.worker_in_memory import Worker, World, until

EVERY_S = 1.0
LOOK_S = 0.05
NEVER_S = 1_000.0


def owned(due: float) -> Owned:
    return Owned(None, None, None, "", due=due)  # type: ignore[arg-type]


def begun(one: Owned, looks: list[float]) -> list[float]:
    """Return when checkpoints begin if they are looked for at these moments."""
    found = []
    for now in looks:
        if now >= one.due:
            one.begins(now, EVERY_S)
            found.append(now)
    return found


def widest(beats: list[float]) -> tuple[float, float]:
    """Return the narrowest and the widest gap between beats, round the clock."""
    ordered = sorted(beats)
    gaps = [later - earlier for earlier, later in pairwise([*ordered, ordered[0] + EVERY_S])]
    return min(gaps), max(gaps)


# due   0.00      1.00      2.00      3.00
# looks 0.02 0.07 ... 1.02 ... 2.02 ... 3.02
def test_a_partition_keeps_its_beat_however_late_it_is_looked_at() -> None:
    looks = [0.02 + LOOK_S * turn for turn in range(20 * 60)]
    begins = begun(owned(0.0), looks)
    assert len(begins) == 60
    assert all(abs(moment - number) < LOOK_S for number, moment in enumerate(begins))


# due   0.0   1.0    (a checkpoint takes until 1.9)   2.0 is left out   3.0
def test_a_checkpoint_that_is_late_is_not_made_up_for() -> None:
    one = owned(1.0)
    one.begins(1.9, EVERY_S)
    assert one.due == pytest.approx(3.0)


# due   1.0   forced at 0.2 and 0.7:   0.2 leaves it at 1.0, 0.7 stands for it
def test_a_checkpoint_that_is_forced_early_stands_for_the_beat_that_is_near() -> None:
    one = owned(1.0)
    one.begins(0.2, EVERY_S)
    assert one.due == pytest.approx(1.0)
    one.begins(0.7, EVERY_S)
    assert one.due == pytest.approx(2.0)


@given(st.floats(0, 1e6), st.lists(st.floats(0.001, 5), min_size=1, max_size=200))
def test_however_often_checkpoints_are_forced_the_next_is_due_within_a_beat_and_a_half(
    due: float, pauses: list[float]
) -> None:
    one, now = owned(due), due
    for pause in pauses:
        now += pause
        one.begins(now, EVERY_S)
        assert 0.5 * EVERY_S - 1e-6 <= one.due - now <= 1.5 * EVERY_S + 1e-6
        assert abs((one.due - due) - round(one.due - due)) < 1e-6, "off the beat"


@pytest.mark.parametrize("number", [2, 3, 4, 8, 12, 64])
def test_partitions_of_a_worker_are_spread_over_the_beat(number: int) -> None:
    dues: list[float] = []
    for turn in range(number):
        dues.append(free_beat(dues, 100.0 + 0.37 * turn, EVERY_S))
        assert 0 <= dues[-1] - (100.0 + 0.37 * turn) <= EVERY_S
    narrowest, most = widest([due % EVERY_S for due in dues])
    assert narrowest > EVERY_S / number / 2.1
    assert most < EVERY_S / number * 2.1


def test_a_pause_of_all_of_them_leaves_them_spread() -> None:
    dues: list[float] = []
    for _ in range(8):
        dues.append(free_beat(dues, 0.0, EVERY_S))
    partitions = [owned(due) for due in dues]
    for one in partitions:
        one.begins(5.0, EVERY_S)
    assert widest([one.due % EVERY_S for one in partitions]) == pytest.approx((EVERY_S / 8, EVERY_S / 8))


async def test_the_partitions_of_an_owner_have_beats_of_their_own(world: World) -> None:
    world.checkpoint_s = EVERY_S
    worker = world.worker()
    await worker.owner.assign([0, 1])
    await until(lambda: worker.owner.is_ready)
    narrowest, _ = widest([owned.due % EVERY_S for owned in worker.owner._open.values()])
    assert narrowest == pytest.approx(EVERY_S / 2)


async def test_a_partition_that_is_not_due_is_not_written(world: World) -> None:
    worker = await _written_once(world)
    await worker.pump(0, 2)
    worker.owner.checkpoint()
    await worker.idle()
    assert world.kafka[0].position().offset == 1


async def test_what_comes_to_an_idle_partition_is_written_at_the_next_look(world: World) -> None:
    worker = await _written_once(world)
    worker.owner._open[0].due -= 3 * NEVER_S
    await worker.pump(0, 2)
    worker.owner.checkpoint()
    await worker.idle()
    assert world.kafka[0].position().offset == 3


async def test_a_partition_that_is_forced_again_and_again_is_still_written_on_its_beat(world: World) -> None:
    world.checkpoint_cells = 1
    worker = await _written_once(world)
    for _ in range(5):
        await worker.pump(0, 1)
        await worker.idle()
    assert worker.owner._open[0].due - time.monotonic() <= 1.5 * NEVER_S


async def _written_once(world: World) -> Worker:
    """Return a worker whose partition 0 has written a checkpoint of two records, and has another long after it."""
    world.checkpoint_s = NEVER_S
    worker = world.worker()
    await worker.assigned(0)
    await worker.pump(0, 2)
    worker.owner.checkpoint()
    await worker.idle()
    return worker
