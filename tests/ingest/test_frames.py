"""The spool's frames against every kind of damage: only the frames it touches are lost, and it is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.frames import HEADER_BYTES, Frame, Reading, pack_frame, read_frames
from ingest.wire import encode
from tests.ingest.drawn import beacons

FRAMES = tuple(Frame(n, 1000 + n, n % 8, 2, b"line %d\nline" % n) for n in range(1, 6))
BYTES = [pack_frame(frame) for frame in FRAMES]
WHOLE = b"".join(BYTES)


def without(data: bytes, *at: int) -> bytes:
    damaged = bytearray(data)
    for position in at:
        damaged[position] ^= 0x10
    return bytes(damaged)


def test_a_whole_file_gives_every_frame() -> None:
    assert read_frames(WHOLE) == Reading(FRAMES, len(WHOLE), 0, 0)


def test_a_torn_tail_ends_the_reading_before_it() -> None:
    for kept in range(len(BYTES[-1])):
        torn = WHOLE[: len(WHOLE) - len(BYTES[-1]) + kept]
        assert read_frames(torn) == Reading(FRAMES[:4], len(WHOLE) - len(BYTES[-1]), 0, 0)


def test_a_scrambled_last_record_is_a_torn_tail() -> None:
    scrambled = b"".join(BYTES[:4]) + bytes(reversed(BYTES[4]))
    assert read_frames(scrambled) == Reading(FRAMES[:4], len(b"".join(BYTES[:4])), 0, 0)


def test_a_tail_of_zeros_is_a_torn_tail() -> None:
    assert read_frames(WHOLE + bytes(4096)) == Reading(FRAMES, len(WHOLE), 0, 0)


def test_a_flipped_bit_anywhere_costs_one_frame() -> None:
    start = len(BYTES[0])
    for at in range(start, start + len(BYTES[1])):
        expected = Reading((FRAMES[0], *FRAMES[2:]), len(WHOLE), 1, 0)
        assert read_frames(without(WHOLE, at)) == expected


def test_a_sequence_seen_before_is_skipped_and_told() -> None:
    repeated = WHOLE + BYTES[2] + BYTES[4]
    assert read_frames(repeated) == Reading(FRAMES, len(repeated), 0, 2)
    assert read_frames(WHOLE, after=3) == Reading(FRAMES[3:], len(WHOLE), 0, 3)


def test_an_empty_file_has_nothing() -> None:
    assert read_frames(b"") == Reading((), 0, 0, 0)


frames = st.lists(
    st.builds(
        Frame, st.just(0), st.integers(0, 2**40), st.integers(0, 65535), st.integers(1, 500), st.binary(max_size=80)
    ),
    max_size=8,
).map(lambda drawn: [Frame(n, f.time, f.partition, f.beacons, f.value) for n, f in enumerate(drawn, 1)])


@given(frames)
def test_what_was_written_is_read(given_frames: list[Frame]) -> None:
    data = b"".join(map(pack_frame, given_frames))
    assert read_frames(data) == Reading(tuple(given_frames), len(data), 0, 0)


@given(frames, st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 7)), max_size=6), st.integers(0, 2000))
def test_no_damage_invents_or_changes_a_frame(
    given_frames: list[Frame], flips: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(b"".join(map(pack_frame, given_frames))[: cut or None])
    for at, bit in flips:
        if at < len(data):
            data[at] ^= 1 << bit
    reading = read_frames(bytes(data))
    assert set(reading.frames) <= set(given_frames)
    assert [frame.sequence for frame in reading.frames] == sorted({frame.sequence for frame in reading.frames})


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert 0 <= read_frames(data).end <= len(data)


@given(beacons)
def test_what_a_client_sends_never_looks_like_a_frame(beacon: Beacon) -> None:
    evil = Beacon("b-1", 1, body=WHOLE + beacon.body, query=beacon.query)
    line = encode(evil)
    torn = pack_frame(Frame(1, 1, 0, 1, line))[HEADER_BYTES:-1]
    assert read_frames(torn) == Reading((), 0, 0, 0)
