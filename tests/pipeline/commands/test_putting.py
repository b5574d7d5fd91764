"""What commands put into beacons is remembered by digests, and packed without reordering a partition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.notes import Note, digest_of, note_key, pack_note, unpack_note
from pipeline.commands.putting import PACK_BYTES, PACK_LINES, Ready, packed

DIGESTS = st.frozensets(st.binary(min_size=16, max_size=16), max_size=20)
TIMES = st.integers(-(2**62), 2**62)


@given(st.booleans(), TIMES, TIMES, DIGESTS)
def test_a_note_is_read_back_as_it_was_written(done: bool, low: int, high: int, digests: frozenset[bytes]) -> None:
    note = Note(done, low, high, digests)
    assert unpack_note(pack_note(note)) == note


@pytest.mark.parametrize("value", [b"", b"\x02" + bytes(17), bytes(18), b"\x01" * 19])
def test_bytes_that_are_no_note_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="topic imports"):
        unpack_note(value)


@given(DIGESTS)
def test_the_same_lines_have_the_same_key_in_any_order(digests: frozenset[bytes]) -> None:
    assert note_key(list(digests)) == note_key(sorted(digests, reverse=True))


@pytest.mark.parametrize(
    ("low", "high", "meets"), [(0, 9, False), (0, 10, True), (12, 13, True), (20, 99, True), (21, 99, False)]
)
def test_a_note_meets_the_times_that_it_spans(low: int, high: int, meets: bool) -> None:
    #  0 ....... 9|10 === note === 20|21 ....
    assert Note(True, 10, 20, frozenset()).meets(low, high) is meets


def test_record_ids_that_differ_have_digests_that_differ() -> None:
    assert len({digest_of(f"b-{number}") for number in range(1000)} | {digest_of("\ud800")}) == 1001


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=50))
def test_packing_keeps_every_line_in_the_order_of_its_partition(lines: list[tuple[int, int]]) -> None:
    ready = [Ready(str(at), 0, part, b"%d-" % at + b"x" * size) for at, (part, size) in enumerate(lines)]
    records = list(packed(ready))
    for part in range(3):
        unpacked = [line for to, value in records if to == part for line in value.split(b"\n")]
        assert unpacked == [line.line for line in ready if line.partition == part]


def test_a_record_holds_so_many_lines_and_bytes_and_no_more() -> None:
    many = [Ready(str(number), 0, 0, b"x") for number in range(PACK_LINES + 1)]
    large = [Ready(str(number), 0, 1, b"x" * (PACK_BYTES // 2 - 1)) for number in range(3)]
    sizes = [(to, value.count(b"\n") + 1) for to, value in packed(many + large)]
    assert sorted(sizes) == [(0, 1), (0, PACK_LINES), (1, 1), (1, 2)]
