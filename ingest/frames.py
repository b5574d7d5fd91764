"""The spool's frame: length, checksum and sequence around one record; and how a damaged file is read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from crc32c import crc32c

# A line of JSON holds no control byte and a header does: what a client sends never looks like a frame.
_MAGIC = b"BCN\x01"
_HEADER = struct.Struct("<4sII")
_MEANING = struct.Struct("<QqHI")
HEADER_BYTES = _HEADER.size + _MEANING.size


@dataclass(frozen=True, slots=True)
class Frame:
    """A record as it lies in the spool.

    Attributes:
        sequence: rises by one from frame to frame.
        time: when it was spooled, Unix milliseconds; nothing in it was answered before.
        partition: of topic `beacons`.
        beacons: how many lines the value has.
        value: the record's bytes.
    """

    sequence: int
    time: int
    partition: int
    beacons: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """What a segment file holds.

    Attributes:
        frames: the good ones, in order.
        end: where the last good one ends; what follows is a torn tail.
        damaged: places between good frames that are not readable.
        repeated: frames whose sequence was seen before.
    """

    frames: tuple[Frame, ...]
    end: int
    damaged: int
    repeated: int


def pack_frame(frame: Frame) -> bytes:
    """Return the frame's bytes."""
    meaning = _MEANING.pack(frame.sequence, frame.time, frame.partition, frame.beacons)
    checksum = crc32c(frame.value, crc32c(meaning))
    return _HEADER.pack(_MAGIC, len(frame.value), checksum) + meaning + frame.value


def read_frames(data: bytes, after: int = -1) -> Reading:
    """Return the frames with a sequence above `after`; damage costs the frames it touches and no other."""
    frames: list[Frame] = []
    at = end = damaged = repeated = 0
    while at >= 0:
        frame = _frame_at(data, at)
        if frame is None:
            at = data.find(_MAGIC, at + 1)
            continue
        if at > end:
            damaged += 1
        at = end = at + HEADER_BYTES + len(frame.value)
        if frame.sequence > after:
            after = frame.sequence
            frames.append(frame)
        else:
            repeated += 1
    return Reading(tuple(frames), end, damaged, repeated)


def _frame_at(data: bytes, at: int) -> Frame | None:
    start = at + HEADER_BYTES
    if start > len(data):
        return None
    magic, length, checksum = _HEADER.unpack_from(data, at)
    if magic != _MAGIC or start + length > len(data):
        return None
    value = data[start : start + length]
    if crc32c(value, crc32c(data[at + _HEADER.size : start])) != checksum:
        return None
    sequence, time, partition, beacons = _MEANING.unpack_from(data, at + _HEADER.size)
    return Frame(sequence, time, partition, beacons, value)
