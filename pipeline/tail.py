"""Whether the last checkpoint in a changelog is whole: guard 2 against torn transactions.

No client library here speaks KIP-890, so a late message of one transaction can tear or join another
(reliability.md 1.1). A position row says how many rows and marks its batch has, with a checksum; this reads
the changelog's end against it. Only the last batch is judged: compaction takes rows out of earlier ones.

Rows of one offset may be of several batches, with no position row between them: of two that end at one offset, as one
that only writes stale rows again, compaction leaves only the later position row; and who heals a torn batch to where
it ended leaves the rows that it wrote as they are. All of them include the same beacons; the last ones are the batch's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from pipeline.batch import Position
from pipeline.windows import checksum_of, offset_text

# Only the last batch is judged; torn ones may have come behind it.
MOST_SEEN = 64
# The span of what no batch has seen: a rebuild carries marks over from before everything.
NO_BATCH = (-1, -1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where to go on.

    Attributes:
        position: go on after its offset.
        heal_until: rows and marks may include beacons up to here already; -1: all is whole.
    """

    position: Position
    heal_until: int = -1


@dataclass(slots=True)
class Tail:
    """Reads a changelog from some point to its end, record by record.

    Attributes:
        newest: offset of the newest position row so far; at first the store's.
        is_late: whether the last position row is older than one before it, out of a transaction long past.
    """

    newest: int = -1
    is_late: bool = False
    # Of the rows read last; none since the last position row.
    _row_offset: int = -1
    _offset_text: bytes = b""
    # All rows of that offset in a row: about what one checkpoint holds.
    _rows: list[tuple[bytes, bytes]] = field(default_factory=list)
    _highest: int = -1
    _position: Position | None = None
    _whole: bool = True
    # By key of a batch, of each of its records the checksum and how many marks and sessions it holds.
    _seen: dict[bytes, dict[int, tuple[int, int]]] = field(default_factory=dict)

    def read_row(self, key: bytes, value: bytes) -> int:
        """Take in a row; return the beacon offset that it includes."""
        text = offset_text(value)
        if text != self._offset_text:
            # Once a batch, not once a row.
            self._offset_text, self._row_offset, self._rows = text, int(text), []
            self._highest = max(self._highest, self._row_offset)
        self._rows.append((key, value))
        return self._row_offset

    def read_seen(self, key: bytes, value: bytes, marks: int, sessions: int) -> None:
        """Take in a record of so many marks and sessions, by its key `previous-offset`.

        Each record once: two torn tries of one batch write the same ones, and must not pass for a whole one together.
        """
        self._seen.setdefault(key, {})[crc32(value)] = marks, sessions
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]

    def read_position(self, position: Position) -> None:
        """Take in a position row: it ends its batch."""
        if position.offset < self.newest:
            self.is_late = True
            return
        self.newest, self.is_late = position.offset, False
        rows = self._rows if self._row_offset == position.offset else []
        # Whatever stands before these is an earlier batch's.
        last = rows[max(0, len(rows) - position.rows) :]
        self._whole = len(last) == position.rows and (not last or checksum_of(last) == position.checksum)
        self._position = position
        self._row_offset, self._offset_text, self._rows = -1, b"", []

    def verdict(self, stored: Position | None) -> Verdict:
        """Return where to go on.

        Args:
            stored: the position that the store held before this was read; None for an empty store.
        """
        position = self._position or stored or Position()
        whole = self._whole
        if self._position is not None:
            key = b"%d-%d" % (position.previous, position.offset)
            seen = self._seen.get(key, {}).values()
            whole = whole and sum(marks for marks, _ in seen) >= position.marks
            whole = whole and sum(sessions for _, sessions in seen) >= position.sessions
        heal_until = self._highest if self._highest > position.offset else -1
        if not whole:
            heal_until = max(heal_until, position.offset)
            position = before(position)
        return Verdict(position, heal_until)


def span_of(key: bytes) -> tuple[int, int]:
    """Return the positions before and after the batch whose `seen` records have this key, `previous-offset`.

    Another key is no batch's, and has the span NO_BATCH.
    """
    previous, _, offset = key.rpartition(b"-")
    try:
        return int(previous), int(offset)
    except ValueError:
        return NO_BATCH


def before(position: Position) -> Position:
    """Return the position that a batch started from, as far as its own position row tells."""
    ledger = {name: total - position.added.get(name, 0) for name, total in position.ledger.items()}
    return Position(offset=position.previous, time=position.time, ledger=ledger, topic=position.topic)
