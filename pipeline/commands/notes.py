"""What commands have put into topic `beacons`, as topic `imports` remembers it: digests of record ids. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from xxhash import xxh3_128_digest

DIGEST_BYTES = 16
_HEAD = struct.Struct("<BBqq")
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Note:
    """Says that lines are about to be in `beacons` (not done), or are (done).

    Attributes:
        low: the earliest receive time of the lines, Unix ms. high: the latest.
        digests: of their record ids.
    """

    done: bool
    low: int
    high: int
    digests: frozenset[bytes]

    def meets(self, low: int, high: int) -> bool:
        """Tell whether lines of these receive times may be in it."""
        return self.low <= high and low <= self.high


def digest_of(record_id: str) -> bytes:
    """Return what a note remembers of a line."""
    return xxh3_128_digest(record_id.encode("utf-8", "surrogatepass"))


def pack_note(note: Note) -> bytes:
    """Return a note as the value of a record of topic `imports`."""
    return _HEAD.pack(_VERSION, note.done, note.low, note.high) + b"".join(sorted(note.digests))


def unpack_note(value: bytes) -> Note:
    """Return the note of a record of topic `imports`.

    Raises:
        ValueError: the value is none that pack_note wrote.
    """
    count, rest = divmod(len(value) - _HEAD.size, DIGEST_BYTES)
    if count < 0 or rest or value[0] != _VERSION:
        raise ValueError("unreadable record of topic imports")
    _, done, low, high = _HEAD.unpack_from(value)
    starts = (_HEAD.size + number * DIGEST_BYTES for number in range(count))
    return Note(bool(done), low, high, frozenset(value[start : start + DIGEST_BYTES] for start in starts))


def note_key(digests: Iterable[bytes]) -> bytes:
    """Return a note's key: the same lines have the same, so that done takes the place of not done."""
    return xxh3_128_digest(b"".join(sorted(digests))).hex().encode()
