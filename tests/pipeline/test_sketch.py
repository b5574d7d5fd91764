"""Sketches: a set of hashes whatever way it came together, counted within the error that is said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sketch import CONFIDENCE, ERROR, MOST_HASHES, Sketch, grown, hash_of

hashes = st.integers(0, 2**32 - 1)
# A few, or some hundreds out of a small range: below and above what is kept as hashes, with many in common.
sets = st.sets(hashes, max_size=6) | st.builds(
    lambda seed, size: set(random.Random(seed).sample(range(600), size)), st.integers(0, 9), st.integers(100, 400)
)


def sketch_of(found: set[int]) -> Sketch:
    sketch = Sketch()
    sketch.add(found)
    return sketch


@given(st.lists(sets, max_size=5), st.randoms(), st.booleans())
def test_equal_sets_have_equal_bytes_whatever_the_order_the_parts_and_the_repetitions(
    parts: list[set[int]], random: random.Random, one_by_one: bool
) -> None:
    whole = sketch_of(set().union(*parts))
    mixed = [part for part in parts for _ in range(random.randint(1, 2))]
    random.shuffle(mixed)
    merged = Sketch()
    for part in mixed:
        if one_by_one:
            for one in part:
                merged.add((one,))
        else:
            merged.merge(sketch_of(part).packed() or Sketch().packed() or b"\x01")
    assert merged.packed() == whole.packed()
    assert Sketch(whole.packed()).packed() == whole.packed()
    assert Sketch(whole.packed()).count() == whole.count()


@given(st.lists(sets, max_size=5))
def test_bytes_that_grow_part_by_part_are_those_of_the_whole(parts: list[set[int]]) -> None:
    packed = b""
    for part in parts:
        packed = grown(packed, list(part) * 2)
    assert packed == sketch_of(set().union(*parts)).packed()


@given(st.lists(sets, max_size=4))
def test_up_to_its_bound_it_counts_exactly(parts: list[set[int]]) -> None:
    whole = set().union(*parts)
    kept = sketch_of(whole)
    assert kept.count() == len(whole) if len(whole) <= MOST_HASHES else abs(kept.count() - len(whole)) < 40


@pytest.mark.parametrize("of", ["few", "mixed", "many"])
def test_in_99_of_100_of_1000_seeded_sets_it_is_within_its_error(of: str) -> None:
    low, high = {"few": (MOST_HASHES, 400), "mixed": (1, 20_000), "many": (2_000, 12_000)}[of]
    within = 0
    for seed in range(1000):
        draw = random.Random(f"{of} {seed}")
        number = round(low * (high / low) ** draw.random())
        found = sketch_of({draw.getrandbits(32) for _ in range(number)})
        # The same sessions in another order and another split: what matters is the set.
        within += abs(found.count() - number) <= ERROR * number
    assert within >= CONFIDENCE * 1000


def test_a_million_are_still_within_the_error() -> None:
    draw = random.Random(5)
    found = sketch_of({draw.getrandbits(32) for _ in range(1_000_000)})
    assert abs(found.count() - 1_000_000) <= ERROR * 1_000_000


def test_three_sessions_take_thirteen_bytes_and_any_number_less_than_four_thousand() -> None:
    assert sketch_of(set()).packed() == b""
    assert len(sketch_of({1, 2, 3}).packed()) == 13
    draw = random.Random(7)
    sizes = {n: len(sketch_of({draw.getrandbits(32) for _ in range(n)}).packed()) for n in (128, 129, 5_000, 300_000)}
    assert sizes[128] == 1 + 4 * 128
    assert max(sizes.values()) < 4_000


def test_every_coupon_drawn_is_still_a_number() -> None:
    every = sketch_of({level << 12 | bucket for bucket in range(4096) for level in (0, *(1 << n for n in range(16)))})
    assert every.count() > 1_000_000


@pytest.mark.parametrize(
    "rubbish", [b"\x00", b"\x01abc", b"\x02", b"\x02rubbish", b"\x03abcd", sketch_of(set(range(500))).packed()[:-9]]
)
def test_what_is_no_sketch_is_refused(rubbish: bytes) -> None:
    with pytest.raises(ValueError, match="no sketch"):
        Sketch(rubbish)


def test_a_digest_is_taken_by_its_first_four_bytes() -> None:
    assert hash_of(bytes(range(1, 9))) == 0x04030201
