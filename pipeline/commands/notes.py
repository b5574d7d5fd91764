"""What commands have put into topic `beacons`, as topic `imports` remembers it: digests of record ids. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from xxhash import xxh3_128_digest

DIGEST_BYTES = 16
_HEAD = struct.Struct("<BBqq")
_COUNT = struct.Struct("<I")
# Without and with the ends of `beacons`.
_VERSION = 1
_VERSION_ENDS = 2


@dataclass(frozen=True, slots=True)
class Note:
    """Says that lines are about to be in `beacons` (not done), or are (done).

    Attributes:
        low: the earliest receive time of the lines, Unix ms. high: the latest.
        digests: of their record ids.
        ends: where the partitions of `beacons` ended before the lines were put, by partition; empty: not known.
    """

    done: bool
    low: int
    high: int
    digests: frozenset[bytes]
    ends: tuple[int, ...] = ()

    def meets(self, low: int, high: int) -> bool:
        """Tell whether lines of these receive times may be in it."""
        return self.low <= high and low <= self.high


def digest_of(record_id: str) -> bytes:
    """Return what a note remembers of a line."""
    return xxh3_128_digest(record_id.encode("utf-8", "surrogatepass"))


def pack_note(note: Note) -> bytes:
    """Return a note as the value of a record of topic `imports`."""
    head = _HEAD.pack(_VERSION_ENDS if note.ends else _VERSION, note.done, note.low, note.high)
    ends = _COUNT.pack(len(note.ends)) + struct.pack(f"<{len(note.ends)}q", *note.ends) if note.ends else b""
    return head + ends + b"".join(sorted(note.digests))


def unpack_note(value: bytes) -> Note:
    """Return the note of a record of topic `imports`.

    Raises:
        ValueError: the value is none that pack_note wrote.
    """
    try:
        version, done, low, high = _HEAD.unpack_from(value)
        begin = _HEAD.size
        ends: tuple[int, ...] = ()
        if version == _VERSION_ENDS:
            places = struct.Struct(f"<{_COUNT.unpack_from(value, begin)[0]}q")
            ends = places.unpack_from(value, begin + _COUNT.size)
            begin += _COUNT.size + places.size
    except struct.error as error:
        raise ValueError("unreadable record of topic imports") from error
    if version not in (_VERSION, _VERSION_ENDS) or (len(value) - begin) % DIGEST_BYTES:
        raise ValueError("unreadable record of topic imports")
    starts = range(begin, len(value), DIGEST_BYTES)
    return Note(bool(done), low, high, frozenset(value[start : start + DIGEST_BYTES] for start in starts), ends)


def note_key(digests: Iterable[bytes]) -> bytes:
    """Return a note's key: the same lines have the same, so that done takes the place of not done."""
    return xxh3_128_digest(b"".join(sorted(digests))).hex().encode()
