"""What one checkpoint writes, and how its parts look in Kafka and in the store."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import orjson

# A mark: digest of the identity, place of the first sighting, its receive time in Unix seconds.
Mark = tuple[bytes, int, int]
# A session: digest, time of its latest event in Unix seconds, what sessions.Session.encoded gave.
SessionState = tuple[bytes, int, bytes]

DIGEST_BYTES = 16
MARK_BYTES = DIGEST_BYTES + 8 + 4
# Bytes of one `seen` record stay well below Kafka's 1 MiB: 28 bytes a mark before compression.
MARKS_PER_RECORD = 16_000
_MARKS_VERSION = b"\x01"
_SESSIONS_VERSION = b"\x02"
# Bytes of states after which a record is full. A state is some 100 bytes; by its bounds on looks and segments one
# of a whole day may have 300,000, and that one more stays below Kafka's 1 MiB too.
SESSION_BYTES_PER_RECORD = 400_000
# Of a state beside what it encodes to: digest, time, and how MessagePack frames them.
_STATE_BYTES = 32
_LINE_BITS = 16
# Records with more lines than a place can number are none of ours.
MAX_LINES = 1 << _LINE_BITS
_IS_BIG_ENDIAN = array("H", [1]).tobytes() == b"\0\1"


def place_of(offset: int, line: int) -> int:
    """Return where a beacon lies: its record's offset and its line in the record, as one number in log order."""
    return offset << _LINE_BITS | line


def offset_of(place: int) -> int:
    """Return the record offset of a place."""
    return place >> _LINE_BITS


@dataclass(frozen=True, slots=True)
class Position:
    """The beacon offset that a partition's state includes, and what proves the batch that led to it.

    Attributes:
        previous: the position before this batch; -1 before the first.
        offset: every beacon record up to here is in rows, marks and dead letters.
        time: receive time of the latest beacon, Unix milliseconds.
        rows: rows in this batch, without tombstones. checksum: theirs, see windows.checksum_of.
        marks: marks in this batch.
        ledger: what became of the partition's beacons since its beginning, by outcome.
        added: the part of the ledger that this batch added.
        topic: id of the beacons topic that the offsets are of.
        sessions: in this batch.
    """

    previous: int = -1
    offset: int = -1
    time: int = 0
    rows: int = 0
    checksum: int = 0
    marks: int = 0
    ledger: dict[str, int] = field(default_factory=dict)
    added: dict[str, int] = field(default_factory=dict)
    topic: str = ""
    sessions: int = 0

    def value(self) -> bytes:
        """Return its value in topic `windows`."""
        return orjson.dumps(self)

    @classmethod
    def read(cls, value: bytes) -> Position:
        """Return the position of a record of topic `windows`."""
        return cls(**orjson.loads(value))


def position_key(partition: int) -> bytes:
    """Return the key of a partition's position row in topic `windows`."""
    return b'{"position":%d}' % partition


def is_position_key(key: bytes) -> bool:
    """Tell a position row from the rows of windows."""
    return key.startswith(b'{"position":')


@dataclass(frozen=True, slots=True)
class Batch:
    """One checkpoint of one partition: all of it is written, or none.

    Attributes:
        rows: key and value of every changed row.
        expired: keys of rows whose retention is over; tombstones in Kafka, gone from the store.
        marks: identities seen for the first time.
        sessions: what is now kept of the sessions that had an event.
        dead: reason and value of every dead letter.
        position: what the state includes once this is written.
    """

    rows: list[tuple[bytes, bytes]]
    expired: list[bytes]
    marks: list[Mark]
    sessions: list[SessionState]
    dead: list[tuple[bytes, bytes]]
    position: Position


def pack_marks(marks: list[Mark]) -> bytes:
    """Return marks as the value of a `seen` record.

    By column, little-endian: version byte, all digests, all places (8 bytes), all times (4 bytes). Digests do
    not compress; places and times, one behind another, do (measured with zstd: 28 bytes become 17.5).
    """
    places, times = array("Q", [mark[1] for mark in marks]), array("I", [mark[2] for mark in marks])
    if _IS_BIG_ENDIAN:
        places.byteswap()
        times.byteswap()
    return b"".join((_MARKS_VERSION, *[mark[0] for mark in marks], places.tobytes(), times.tobytes()))


def count_marks(value: bytes) -> int:
    """Return how many marks a `seen` record holds.

    Raises:
        ValueError: the value is none that pack_marks wrote.
    """
    count, rest = divmod(len(value) - 1, MARK_BYTES)
    if value[:1] != _MARKS_VERSION or rest:
        raise ValueError("unreadable seen record")
    return count


def mark_columns(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the columns of a `seen` record of marks as they lie in it: digests, places and times.

    Raises:
        ValueError: the value is none that pack_marks wrote.
    """
    count = count_marks(value)
    end_of_digests = 1 + count * DIGEST_BYTES
    end_of_places = end_of_digests + count * 8
    return value[1:end_of_digests], value[end_of_digests:end_of_places], value[end_of_places:]


def numbers_of(column: bytes, code: str) -> array[int]:
    """Return the numbers of a column: places have the array code "Q", times (Unix seconds) have "I"."""
    numbers = array(code)
    numbers.frombytes(column)
    if _IS_BIG_ENDIAN:
        numbers.byteswap()
    return numbers


def unpack_marks(value: bytes) -> list[Mark]:
    """Return the marks of a `seen` record.

    Raises:
        ValueError: the value is none that pack_marks wrote.
    """
    column, places, times = mark_columns(value)
    digests = [column[start : start + DIGEST_BYTES] for start in range(0, len(column), DIGEST_BYTES)]
    return list(zip(digests, numbers_of(places, "Q"), numbers_of(times, "I"), strict=True))


def session_records(sessions: Sequence[SessionState]) -> Iterator[bytes]:
    """Yield sessions as the values of as many `seen` records as they need."""
    begin = size = 0
    for at, (_, _, state) in enumerate(sessions):
        size += _STATE_BYTES + len(state)
        if size >= SESSION_BYTES_PER_RECORD:
            yield pack_sessions(sessions[begin : at + 1])
            begin, size = at + 1, 0
    if begin < len(sessions):
        yield pack_sessions(sessions[begin:])


def pack_sessions(sessions: Sequence[SessionState]) -> bytes:
    """Return sessions as the value of a `seen` record."""
    return _SESSIONS_VERSION + msgspec.msgpack.encode(sessions)


def holds_sessions(value: bytes) -> bool:
    """Tell a `seen` record of sessions from those of marks."""
    return value[:1] == _SESSIONS_VERSION


def unpack_seen(value: bytes) -> tuple[list[Mark], list[SessionState]]:
    """Return the marks or the sessions of a `seen` record.

    Raises:
        ValueError: the value is none of those that pack_marks and pack_sessions write.
    """
    if not holds_sessions(value):
        return unpack_marks(value), []
    try:
        return [], [(digest, time_s, state) for digest, time_s, state in msgspec.msgpack.decode(value[1:])]
    except msgspec.DecodeError as error:
        raise ValueError("unreadable seen record") from error
