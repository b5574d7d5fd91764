"""The beat of checkpoints: one a second for each partition, no two partitions of a worker at one moment."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.owned import Owned, first_beat
from tests.pipeline.worker_in_memory import Worker, World

EVERY_S = 1.0
LOOK_S = 0.05


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


# due   0.00      1.00      2.00      3.00
# looks 0.02 0.07 ... 1.02 ... 2.02 ... 3.02
def test_a_partition_keeps_its_beat_however_late_it_is_looked_at() -> None:
    looks = [0.02 + LOOK_S * turn for turn in range(20 * 60)]
    begins = begun(owned(0.0), looks)
    assert len(begins) == 60
    assert all(abs(moment - number) < LOOK_S for number, moment in enumerate(begins))


# due   0.0   1.0    (a checkpoint takes until 1.9)   next not before 2.9: never twice in 0.1 s
def test_a_checkpoint_that_is_late_is_not_made_up_for() -> None:
    one = owned(1.0)
    one.begins(1.9, EVERY_S)
    assert one.due == pytest.approx(2.9)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_begins_after_idleness_is_followed_a_beat_later(due: float, idle: float) -> None:
    one = owned(due)
    now = due + idle
    one.begins(now, EVERY_S)
    assert 0.75 * EVERY_S - 1e-6 <= one.due - now <= EVERY_S + 1e-6


@pytest.mark.parametrize("number", [2, 3, 4, 8, 12, 64])
def test_partitions_of_a_worker_are_spread_over_the_beat(number: int) -> None:
    beats = sorted(first_beat(beside, EVERY_S) for beside in range(number))
    gaps = [later - earlier for earlier, later in pairwise([*beats, beats[0] + EVERY_S])]
    assert min(gaps) > EVERY_S / number / 2
    assert max(gaps) < EVERY_S / number * 2


async def test_a_partition_that_is_not_due_is_not_written(world: World, worker: Worker) -> None:
    world.checkpoint_s = 1_000.0
    worker = world.worker()
    await worker.assigned(0)
    for _ in range(2):
        await worker.pump(0, 2)
        worker.owner.checkpoint()
        await worker.idle()
    assert world.kafka[0].position().offset == 1


async def test_what_comes_to_an_idle_partition_is_written_at_the_next_look(world: World) -> None:
    world.checkpoint_s = 1_000.0
    worker = world.worker()
    await worker.assigned(0)
    worker.owner.checkpoint()
    await worker.pump(0, 1)
    worker.owner.checkpoint()
    await worker.idle()
    assert world.kafka[0].position().offset == 0
