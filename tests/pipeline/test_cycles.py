"""Cycles are looked for rarely, and found all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pipeline.cycles import THRESHOLDS, search_rarely


@pytest.fixture
def rarely() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    search_rarely()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Knot:
    """Holds itself."""

    def __init__(self) -> None:
        self.held = self


@pytest.mark.usefixtures("rarely")
def test_what_is_made_and_let_go_starts_no_search() -> None:
    searched: list[str] = []
    gc.callbacks.append(lambda phase, _: searched.append(phase))
    try:
        for number in range(2 * THRESHOLDS[0]):
            [number, [number]].clear()
    finally:
        gc.callbacks.pop()
    assert searched == []


@pytest.mark.usefixtures("rarely")
def test_a_leak_of_cycles_is_found() -> None:
    first = weakref.ref(Knot())
    assert first() is not None
    for _ in range(THRESHOLDS[0]):
        Knot()
    assert first() is None
