"""One owner's state of one partition: accept the next record, judge its events, fold them, prepare a checkpoint.

Nothing here waits: the caller reads from Kafka, writes the prepared batches, and says when they are written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.amounts import KNOWN_TYPES
from pipeline.batch import MAX_LINES, Batch, Mark, Position, place_of
from pipeline.deadletter import dead_letter
from pipeline.event import Event
from pipeline.firsts import Firsts, Hashes
from pipeline.held import HeldSessions
from pipeline.parameters import Reason, Rejected
from pipeline.rows import Rows, Rules
from pipeline.sessions import SessionFold
from pipeline.sightings import was_near
from pipeline.store import Store, row_place_of
from pipeline.windows import Cells, Counts, Row, RowId, checksum_of, fold, merge, roll_up, value_end

log = logging.getLogger(__name__)


class Gap(Exception):
    """Records are missing before the one offered: read again from `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"next offset is {offset}")
        self.offset = offset


@dataclass(slots=True)
class Pending:
    """What has been folded since the last prepared checkpoint."""

    cells: Cells = field(default_factory=dict)
    touched: dict[RowId, Row] = field(default_factory=dict)
    marks: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    # Marks whose identity came again beyond the horizon; it has a later one in `marks`.
    outlived: dict[bytes, list[tuple[int, int]]] = field(default_factory=dict)
    firsts: Firsts | None = None
    dead: list[tuple[bytes, bytes]] = field(default_factory=list)
    dead_bytes: int = 0
    ledger: Counts = field(default_factory=dict)


class Partition:
    """The state of one partition, held by its one owner.

    Attributes:
        number: the partition's number.
        position: the offset of the last record folded; -1 before the first.
    """

    def __init__(self, number: int, store: Store, rules: Rules, position: Position, heal_until: int = -1) -> None:
        """Go on from a position; up to `heal_until` rows and marks may include more than it says."""
        self.number = number
        self.position = position.offset
        self._committed = position
        self._store = store
        self._rules = rules
        self._heal_until = heal_until
        self._is_stale = False
        self._time = position.time
        # The line's own time as far as the worker's clock agrees: one clock that is ahead, here or at an ingest,
        # expires no row and forgets no mark. Nothing expires before the first checkpoint.
        self._now_s = 0.0
        self._pending = Pending()
        self._in_flight: Pending | None = None
        self._rows = Rows(number, store, rules)
        self._reader = rules.reader()
        self._read_event = self._reader.read
        self._sessions = HeldSessions(store, SessionFold(rules.shape, rules.metrics), rules.cache_rows)
        self._finest_s = rules.shape.windows[0].seconds

    # -- accept

    def take(self, records: Sequence[tuple[int, bytes | None]]) -> None:
        """Fold the records (offset, value) that come next; those that are already in are passed over.

        Raises:
            Gap: a record is missing before one of these; those before the gap are folded.
        """
        self._reader.refresh()
        events: list[tuple[int, Event]] = []
        for offset, value in records:
            if offset <= self.position:
                continue
            if offset != self.position + 1:
                self._judge_and_fold(events)
                raise Gap(self.position + 1)
            self._read(offset, value, events)
            self.position = offset
            if offset <= self._heal_until:
                # While healing, rows differ in what they include: each record goes to its rows at once.
                self._judge_and_fold(events)
                self._apply(offset, is_healing=True)
                events = []
        self._judge_and_fold(events)

    def rewrite(self, row_ids: Iterable[RowId]) -> None:
        """Write these rows and the position again, soon: Kafka holds older versions after the newer ones."""
        self._pending.touched |= self._rows.held(row_ids)
        self._is_stale = True

    def skip_to(self, offset: int) -> None:
        """Go on at `offset`: what lay before it is gone from Kafka. The hole is in the ledger."""
        self._count("lostOffsets", offset - self.position - 1)
        self.position = offset - 1

    def _read(self, offset: int, value: bytes | None, events: list[tuple[int, Event]]) -> None:
        lines = (value or b"").split(b"\n")
        self._count("beacons", len(lines))
        if len(lines) > MAX_LINES:
            self._reject(offset, 0, value or b"", Reason.UNREADABLE_LINE, len(lines))
            return
        first, read = place_of(offset, 0), self._read_event
        for number, line in enumerate(lines):
            try:
                events.append((first + number, read(line)))
            except Rejected as rejected:
                self._reject(offset, number, line, rejected.reason)
            except Exception:
                # A beacon that this version trips over: kept for a later one, its neighbours counted.
                log.exception("reading a beacon failed at partition %d offset %d", self.number, offset)
                self._reject(offset, number, line, Reason.FAULT)

    def _reject(self, offset: int, line: int, raw: bytes, reason: Reason, beacons: int = 1) -> None:
        self._count("rejected", beacons)
        self._count("rejected." + reason, beacons)
        letter = dead_letter(reason, self.number, offset, line, raw)
        self._pending.dead.append((reason.encode(), letter))
        self._pending.dead_bytes += len(letter)

    # -- judge and fold

    def _judge_and_fold(self, events: list[tuple[int, Event]]) -> None:
        if not events:
            return
        pending, marks = self._pending, self._pending.marks
        cells, finest_s, horizon_s = pending.cells, self._finest_s, self._rules.dedupe_horizon_s
        times = [event.time for _, event in events]
        low_s, high_s, latest = min(times) // 1000, max(times) // 1000, self._time
        known = self._known(events, low_s, high_s)
        self._sessions.bring(events, low_s, high_s)
        firsts = pending.firsts = pending.firsts or Firsts(len(self._rules.shape.windows))
        unique = unknown = duplicates = 0
        for place, event in events:
            identity, seconds = event.identity, event.time // 1000
            first = marks.get(identity) or known.get(identity)
            if first is None:
                marks[identity] = (place, seconds)
            elif first[0] != place:
                if abs(seconds - first[1]) < horizon_s or not self._counts_again((identity, place, seconds)):
                    duplicates += 1
                    continue
                marks[identity] = (place, seconds)
            latest = max(latest, event.time)
            if event.type in KNOWN_TYPES:
                unique += 1
            else:
                unknown += 1
            if event.amounts:
                fold(cells, event, finest_s)
            if event.session:
                self._sessions.fold(event, cells, firsts)
            for name in event.bad:
                self._count("badValues." + name, 1)
        self._time = latest
        self._count("unique", unique)
        self._count("unknownTypes", unknown)
        self._count("duplicates", duplicates)

    def _counts_again(self, sighting: Mark) -> bool:
        """Tell whether nothing lies within the horizon, where a mark does not; if so, keep the mark it will replace."""
        pending, identity = self._pending, sighting[0]
        if was_near(sighting, self._rules.dedupe_horizon_s, (pending, self._in_flight), self._store):
            return False
        if identity in pending.marks:
            pending.outlived.setdefault(identity, []).append(pending.marks[identity])
        return True

    def _known(self, events: list[tuple[int, Event]], low_s: int, high_s: int) -> dict[bytes, tuple[int, int]]:
        """Return the first sightings that lie in the store or in the checkpoint under way."""
        pending = self._pending.marks
        wanted = {event.identity for _, event in events if event.identity not in pending}
        if self._in_flight is None:
            return self._store.marks(list(wanted), low_s, high_s)
        in_flight = self._in_flight.marks
        known = {identity: in_flight[identity] for identity in wanted if identity in in_flight}
        wanted.difference_update(known)
        return known | self._store.marks(list(wanted), low_s, high_s)

    def _count(self, outcome: str, number: int) -> None:
        if number:
            ledger = self._pending.ledger
            ledger[outcome] = ledger.get(outcome, 0) + number

    def _apply(self, offset: int, is_healing: bool = False) -> None:
        """Add the cells, which hold every record up to `offset`, to their rows."""
        pending = self._pending
        added = roll_up(pending.cells, self._rules.shape)
        seen: dict[RowId, Hashes] = {}
        if pending.firsts is not None:
            pending.firsts.roll_up(added, self._rules.shape)
            seen = pending.firsts.sketched(self._rules.shape)
        applied = self._rows.apply(added, seen, offset, self._now_s, is_healing)
        pending.cells, pending.firsts = {}, None
        pending.touched |= applied.touched
        self._count("expired", applied.expired)

    # -- checkpoint

    @property
    def is_dirty(self) -> bool:
        """Tell whether anything has been folded that no checkpoint has."""
        return (self.position != self._committed.offset or self._is_stale) and self._in_flight is None

    @property
    def changed_cells(self) -> int:
        """Return how much the next checkpoint would write, in cells.

        So that one is written before memory grows, whatever is sent: a dead letter is one, and one more for each kB;
        16 seen marks are one.
        """
        pending = self._pending
        cells = len(pending.cells) + len(pending.touched) + len(pending.dead)
        return cells + len(pending.marks) // 16 + pending.dead_bytes // 1_000

    @property
    def is_healing(self) -> bool:
        """Tell whether rows may still include more than the position says: no checkpoint may be written."""
        return self.position < self._heal_until

    @property
    def committed(self) -> Position:
        """Return the position that is written."""
        return self._committed

    def prepare(self, topic: str, now_s: float) -> tuple[Batch, list[bytes]]:
        """Return the checkpoint of all that is folded, and per row its place in the store.

        Until `written` is called no other may be prepared; folding goes on meanwhile.
        """
        assert self._in_flight is None and not self.is_healing
        self._now_s = min(now_s, self._time / 1000)
        self._apply(self.position)
        pending, self._pending = self._pending, Pending()
        self._in_flight = pending
        self._is_stale = False
        windows = self._rules.shape.windows
        rows: list[tuple[bytes, bytes]] = []
        places: list[bytes] = []
        end = value_end(self.position)
        for row in pending.touched.values():
            row.offset = self.position
            rows.append((row.key, row.value(end)))
            places.append(row_place_of(windows[row.id[0]].seconds, row.id[2], row.key))
        marks: list[Mark] = [(identity, place, time_s) for identity, (place, time_s) in pending.marks.items()]
        marks += [(identity, *mark) for identity, outlived in pending.outlived.items() for mark in outlived]
        sessions = self._sessions.take_touched()
        ledger = dict(self._committed.ledger)
        merge(ledger, pending.ledger)
        position = Position(
            previous=self._committed.offset,
            offset=self.position,
            time=self._time,
            rows=len(rows),
            checksum=checksum_of(rows),
            marks=len(marks),
            sessions=len(sessions),
            ledger=ledger,
            added=pending.ledger,
            topic=topic,
        )
        expired = self._rows.expired(len(rows), self._now_s)
        return Batch(rows, expired, marks, sessions, pending.dead, position), places

    def written(self, batch: Batch) -> None:
        """Take notice that the prepared checkpoint is in Kafka and in the store."""
        self._in_flight = None
        self._committed = batch.position
        if batch.expired or self._rows.is_full:
            self._rows.forget(self._now_s)
        self._sessions.forget()
        self._store.drop_before(int(self._now_s))
