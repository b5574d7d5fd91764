"""A simulated viewer behaves as the recorded ones did."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deploy.players.viewer import QUARTILES, RESTART_AFTER_S, Step, visit

visits = st.builds(
    lambda duration, seed: list(visit(duration, random.Random(seed).random)),
    st.floats(5, 900),
    st.integers(0, 2**32),
)


def types(steps: list[Step]) -> list[int]:
    return [step.type for step in steps]


@given(visits)
def test_a_visit_starts_with_impression_request_play_and_view_or_fails(steps: list[Step]) -> None:
    assert types(steps)[:4] == [1, 2, 3, 99] or types(steps) == [1, 98]


@given(visits)
def test_the_start_up_is_one_burst(steps: list[Step]) -> None:
    assert sum(step.wait for step in steps[:4]) < 2


@given(visits)
def test_views_come_at_0_then_11_then_every_10_watched_seconds(steps: list[Step]) -> None:
    #  played  0 ---------- 11 -------- 21 -------- 31
    #  event   99           99          99          99
    watched = [step.told["playTimeSum"] for step in steps if step.type == 99]

    assert watched == [0, *range(11, 10 * len(watched), 10)][: len(watched)]


@given(visits)
def test_the_views_tell_every_second_of_buffering_but_what_follows_the_last(steps: list[Step]) -> None:
    views = [step for step in steps if step.type == 99]
    if any(step.restart for step in steps) or not views:
        return

    told = sum(float(view.told["bufferTime"]) for view in views)
    assert abs(told - float(views[-1].told["bufferTimeSum"])) < 0.001 * (len(views) + 1)


@given(visits)
def test_only_a_pause_of_over_30_s_starts_the_index_again(steps: list[Step]) -> None:
    for before, step in pairwise(steps):
        after_pause = before.type == 33 and step.type == 4
        assert step.restart == (after_pause and step.wait > RESTART_AFTER_S)


@given(visits)
def test_a_quartile_is_passed_once_and_a_replay_is_no_new_play(steps: list[Step]) -> None:
    for kind in (3, 14, *(kind for _, kind in QUARTILES)):
        assert types(steps).count(kind) <= 1
    assert types(steps).count(34) in (0, types(steps).count(14))


@given(st.floats(5, 900), st.integers(0, 2**32))
def test_the_same_draws_give_the_same_visit(duration: float, seed: int) -> None:
    once, again = (list(visit(duration, random.Random(seed).random)) for _ in range(2))

    assert once == again
