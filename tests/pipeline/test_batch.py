"""What a checkpoint writes reads back as it was: marks, places, positions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import (
    MARKS_PER_RECORD,
    SESSION_BYTES_PER_RECORD,
    Mark,
    Position,
    is_position_key,
    offset_of,
    pack_marks,
    place_of,
    position_key,
    session_records,
    unpack_marks,
    unpack_seen,
)
from pipeline.catalog import SETS, WINDOWS
from pipeline.windows import Shape, row_key

SHAPE = Shape.of(WINDOWS, SETS[:2])

# Places fill 8 bytes, times 4: the year 2100 is below 2^32.
_mark = st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 2**64 - 1), st.integers(0, 4_102_444_800))


@given(marks=st.lists(_mark, max_size=20))
def test_marks_read_back_as_they_were_packed(marks: list[Mark]) -> None:
    assert list(unpack_marks(pack_marks(marks))) == marks


@given(marks=st.lists(_mark, min_size=1, max_size=3), cut=st.integers(1, 30))
def test_a_record_of_marks_that_was_cut_is_refused(marks: list[Mark], cut: int) -> None:
    value = pack_marks(marks)
    if cut % 28:
        with pytest.raises(ValueError, match="unreadable seen record"):
            list(unpack_marks(value[:-cut]))


@pytest.mark.parametrize("value", [b"", b"\x02", b"\x00" * 29, b"\x02" + b"\x00" * 28])
def test_a_record_of_marks_of_another_version_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="unreadable seen record"):
        list(unpack_marks(value))


def test_marks_lie_by_column_little_endian_behind_a_version() -> None:
    value = pack_marks([(b"a" * 16, 1, 2), (b"b" * 16, 3, 4)])
    assert value == (
        b"\x01" + b"a" * 16 + b"b" * 16 + b"\1" + b"\0" * 7 + b"\3" + b"\0" * 7 + b"\2\0\0\0" + b"\4\0\0\0"
    )


@given(sizes=st.lists(st.one_of(st.integers(0, 200), st.integers(100_000, 300_000)), max_size=12))
def test_sessions_go_into_as_many_records_as_keep_each_below_what_kafka_takes(sizes: list[int]) -> None:
    sessions = [(number.to_bytes(8, "big"), number, bytes(size)) for number, size in enumerate(sizes)]
    records = list(session_records(sessions))
    assert [state for record in records for state in unpack_seen(record)[1]] == sessions
    assert all(len(record) < SESSION_BYTES_PER_RECORD + 300_100 for record in records)
    # None is cut earlier than it must be.
    assert all(len(record) >= SESSION_BYTES_PER_RECORD - 32 * 12 for record in records[:-1])


def test_a_full_record_of_marks_stays_well_below_what_kafka_takes() -> None:
    assert len(pack_marks([(b"a" * 16, 1, 2)] * MARKS_PER_RECORD)) < 500_000


_offset, _line = st.integers(0, 2**47), st.integers(0, 2**16 - 1)


@given(one=st.tuples(_offset, _line), other=st.tuples(_offset, _line))
def test_places_lie_in_log_order_and_know_their_record(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (place_of(*one) < place_of(*other)) == (one < other)
    assert (place_of(*one) == place_of(*other)) == (one == other)
    assert offset_of(place_of(*one)) == one[0]


_ledger = st.dictionaries(st.sampled_from(["beacons", "unique", "badValues.bufferTime"]), st.integers(0, 2**53))


@given(
    position=st.builds(
        Position,
        previous=st.integers(-1, 2**53),
        offset=st.integers(-1, 2**53),
        time=st.integers(0, 2**53),
        rows=st.integers(0, 10**6),
        checksum=st.integers(0, 2**32 - 1),
        marks=st.integers(0, 10**6),
        ledger=_ledger,
        added=_ledger,
        topic=st.text(max_size=22),
    )
)
def test_a_position_reads_back_as_it_was_written(position: Position) -> None:
    assert Position.read(position.value()) == position


def test_a_position_row_is_known_by_its_key() -> None:
    assert (position_key(3), json.loads(position_key(3))) == (b'{"position":3}', {"position": 3})
    assert is_position_key(position_key(12))
    assert not is_position_key(row_key((0, 0, 10, ('"1"',)), SHAPE, 3))
    assert not is_position_key(row_key((0, 1, 10, ('"1"', '"{\\"position\\":3}"')), SHAPE, 3))
