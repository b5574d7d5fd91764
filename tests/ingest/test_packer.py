"""Packs: every line once, in order, in its partition, within the bounds; and how long they stay open."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.packer import Bounds, Pack, Packer, linger

BOUNDS = Bounds(bytes=100, beacons=4, linger_seconds=0.02)
lines = st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=150)), max_size=60)


def pack_all(given_lines: list[tuple[int, bytes]]) -> list[Pack[int]]:
    packer: Packer[int] = Packer(BOUNDS, 4)
    full = [packer.add(partition, line, n) for n, (partition, line) in enumerate(given_lines)]
    return [pack for pack in full if pack is not None] + packer.close_all()


@given(lines)
def test_every_line_is_in_one_pack_of_its_partition_in_order(given_lines: list[tuple[int, bytes]]) -> None:
    packed: dict[int, list[tuple[bytes, int]]] = {}
    for pack in pack_all(given_lines):
        packed.setdefault(pack.partition, []).extend(zip(pack.lines, pack.waiting, strict=True))
    expected: dict[int, list[tuple[bytes, int]]] = {}
    for n, (partition, line) in enumerate(given_lines):
        expected.setdefault(partition, []).append((line, n))
    assert packed == expected


@given(lines)
def test_a_pack_is_within_its_bounds_plus_one_line(given_lines: list[tuple[int, bytes]]) -> None:
    for pack in pack_all(given_lines):
        assert 1 <= len(pack.lines) <= BOUNDS.beacons
        assert pack.size - len(pack.lines[-1]) - 1 < BOUNDS.bytes
        assert pack.size == sum(len(line) + 1 for line in pack.lines)


def test_the_value_of_a_record_is_its_lines_with_newlines_between() -> None:
    packer: Packer[None] = Packer(BOUNDS, 1)
    packer.add(0, b"a", None)
    packer.add(0, b"b", None)
    assert [pack.value() for pack in packer.close_all()] == [b"a\nb"]
    assert packer.close_all() == []


def test_a_lone_beacon_is_not_kept_waiting() -> None:
    assert linger(BOUNDS, 8, 100) == 0.0


def test_packs_stay_open_as_long_as_that_brings_company_and_no_longer() -> None:
    #  beacons/s over 8 partitions:   under 1 a pack | the whole linger   | until 4 are together
    assert [linger(BOUNDS, 8, rate) for rate in (0, 399, 400, 1600, 3200, 16000)] == [0, 0, 0.02, 0.02, 0.01, 0.002]


@given(st.floats(0, 1e6), st.integers(1, 64))
def test_the_wait_is_never_longer_than_the_bound(rate: float, partitions: int) -> None:
    assert 0 <= linger(BOUNDS, partitions, rate) <= BOUNDS.linger_seconds
