"""Recount a range of time straight from beacons, and compare with rows. Pure.

Its own fold, straightforward on purpose: no cells, no checkpoints, no store. What it shares with the worker is
only what a beacon means (EventReader), how a segment's watched time grows, and the one sentence of the rule:
the first sighting within the horizon counts. So what it finds different is a fault of the worker, of Kafka, or
of whoever wrote the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.batch import MAX_LINES
from pipeline.catalog import AUDIENCE_PEAK, Adds, EventType, Metric, Window
from pipeline.event import Event
from pipeline.parameters import Reason, Rejected
from pipeline.rows import Rules
from pipeline.sessions import Session, grown
from pipeline.viewers import Viewers
from pipeline.windows import (
    EMPTY,
    HOUR_S,
    PEAK,
    SLOT_S,
    Counts,
    RowId,
    is_expired,
)

MOST_PROJECTED = 100_000

# By name of a sketch, whom it must have seen.
Seen = dict[str, set[int]]
# Names that a session is counted under, each with its bit, and all their bits.
Bits = tuple[list[tuple[str, int]], int]
# A row's counts, the sessions seen in it, each with the bits of its names, and who its sketches have seen.
Cell = tuple[Counts, dict[bytes, int], Seen]
# Per window: the number of a set, its values, and whether it keeps peaks and sketches there.
Projected = list[list[tuple[int, tuple[str, ...], bool, bool]]]


@dataclass(frozen=True, slots=True)
class Range:
    """The windows that lie whole in [begin, end), Unix seconds, of one partner or all."""

    begin: int
    end: int
    partner: str | None = None

    def holds(self, window: Window, row_id: RowId) -> bool:
        """Tell whether a row is one of these."""
        _, _, start, values = row_id
        return (
            self.begin <= start
            and start + window.seconds <= self.end
            and (self.partner is None or values[0] == f'"{self.partner}"')
        )


@dataclass(slots=True)
class Recount:
    """Counts one partition's beacons again.

    Attributes:
        rows: what every row must be, without its sketches.
        seen: by row, who its sketches must have seen.
        outcomes: what became of the beacons taken, in the words of the ledger.
        time: of the newest beacon that counted, Unix ms.
    """

    rules: Rules
    range: Range
    rows: dict[RowId, Counts] = field(default_factory=dict)
    seen: dict[RowId, Seen] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    time: int = 0
    _seen: dict[bytes, int] = field(default_factory=dict)
    # Sightings before that one, of those that counted again beyond the horizon.
    _before: dict[bytes, list[int]] = field(default_factory=dict)
    _rows_held: Counter[tuple[int, int, int, str]] = field(default_factory=Counter)
    _cells: dict[RowId, Cell] = field(default_factory=dict)
    _placed: dict[tuple[int, int, tuple[str, ...]], list[tuple[Cell, bool, bool]]] = field(default_factory=dict)
    _projected: dict[tuple[str, ...], Projected] = field(default_factory=dict)
    _bit: dict[str, int] = field(default_factory=dict)
    _bits: dict[tuple[str, ...], Bits] = field(default_factory=dict)
    _sessions: dict[bytes, Session] = field(default_factory=dict)
    _read: Callable[[bytes], Event] = field(init=False)
    _viewers: Viewers = field(init=False)
    _by_session: tuple[Metric, ...] = ()
    _watched: str | None = None

    def __post_init__(self) -> None:
        """Build what reads lines by the rules."""
        self._read = self.rules.reader().read
        self._viewers = Viewers.of(self.rules.shape)
        self._by_session = tuple(metric for metric in self.rules.metrics if metric.adds is Adds.SESSION)
        self._watched = next((metric.name for metric in self.rules.metrics if metric.adds is Adds.WATCHED), None)

    def take(self, value: bytes) -> None:
        """Count the beacons of one record."""
        lines = value.split(b"\n")
        outcomes, seen, horizon_s = self.outcomes, self._seen, self.rules.dedupe_horizon_s
        outcomes["beacons"] += len(lines)
        if len(lines) > MAX_LINES:
            self._reject(Reason.UNREADABLE_LINE, len(lines))
            return
        for line in lines:
            try:
                event = self._read(line)
            except Rejected as rejected:
                self._reject(rejected.reason)
                continue
            except Exception:
                # As the worker does: it keeps going whatever a line holds, and so must who checks it.
                self._reject(Reason.FAULT)
                continue
            seconds = event.time // 1000
            first = seen.get(event.identity)
            if first is not None:
                before = self._before.get(event.identity, ())
                if any(abs(seconds - time_s) < horizon_s for time_s in (first, *before)):
                    outcomes["duplicates"] += 1
                    continue
                self._before.setdefault(event.identity, []).append(first)
            seen[event.identity] = seconds
            self.time = max(self.time, event.time)
            outcomes["unique" if event.is_known else "unknownTypes"] += 1
            amounts = event.amounts
            if event.session and self._watched is not None:
                # How far a segment has played before, may lie before the range: every session is followed.
                grew = grown(self._sessions.setdefault(event.session, Session()), event)
                amounts = {**amounts, self._watched: grew} if grew else amounts
            self._add(seconds, event, amounts)

    def _reject(self, reason: Reason, beacons: int = 1) -> None:
        self.outcomes["rejected"] += beacons
        self.outcomes["rejected." + reason] += beacons

    def _add(self, seconds: int, event: Event, amounts: Mapping[str, int]) -> None:
        shape, range_ = self.rules.shape, self.range
        if not range_.begin <= seconds < range_.end or range_.partner not in (None, event.partner):
            return
        seen_as = self._seen_as(event)
        if not amounts and not seen_as:
            # Nothing that this line counts: it begins no row, and none goes off the bound of a set.
            return
        for index, window in enumerate(shape.windows):
            start = seconds - seconds % window.seconds
            if start < range_.begin or start + window.seconds > range_.end:
                continue
            if is_expired(window, start, self.time / 1000):
                continue
            names = seen_as
            if event.type == EventType.VIEW:
                names = (*seen_as, f"{PEAK}{(seconds - start) // SLOT_S}")
            with_peaks, without = self._bits_of(names), self._bits_of(seen_as)
            for cell, keeps_peaks, keeps_sketches in self._cells_of(index, start, event.values):
                counts = cell[0]
                for name, amount in amounts.items():
                    counts[name] = counts.get(name, 0) + amount
                if seen_as:
                    self._sight(event, with_peaks if keeps_peaks else without, cell, keeps_sketches)

    def _seen_as(self, event: Event) -> tuple[str, ...]:
        """Return the metrics that count an event's session."""
        if not event.session:
            return ()
        return tuple(metric.name for metric in self._by_session if not metric.types or event.type in metric.types)

    def _bits_of(self, names: tuple[str, ...]) -> Bits:
        """Return the names, each with a bit of its own, and all the bits."""
        found = self._bits.get(names)
        if found is None:
            each = [(name, self._bit.setdefault(name, 1 << len(self._bit))) for name in names]
            found = self._bits[names] = each, sum(bit for _, bit in each)
        return found

    def _sight(self, event: Event, names: Bits, cell: Cell, keeps_sketches: bool) -> None:
        """Count a session in a row, once under each name, and put it among those that its sketches must have seen."""
        counts, sessions, seen = cell
        before = sessions.get(event.session, 0)
        new = names[1] & ~before
        if new:
            sessions[event.session] = before | new
            for name, bit in names[0]:
                if bit & new:
                    counts[name] = counts.get(name, 0) + 1
        if keeps_sketches:
            for name, one in self._viewers.seen(event):
                seen.setdefault(name, set()).add(one)

    def _cells_of(self, index: int, start: int, all_values: tuple[str, ...]) -> list[tuple[Cell, bool, bool]]:
        """Return the cells of a window that values count in; remembered, for they come again."""
        place = (index, start, all_values)
        found = self._placed.get(place)
        if found is None:
            projected = self._projected.get(all_values) or self._project(all_values)
            found = []
            for number, values, keeps_peaks, keeps_sketches in projected[index]:
                cell = self._cells.get((index, number, start, values))
                if cell is None:
                    cell = self._cells[index, number, start, values] = self._cell(index, number, start, values)
                found.append((cell, keeps_peaks, keeps_sketches))
            if len(self._placed) > MOST_PROJECTED:
                self._placed.clear()
            self._placed[place] = found
        return found

    def _project(self, all_values: tuple[str, ...]) -> Projected:
        """Return per window the sets that values count in, with the set's values; remembered, for they come again."""
        if len(self._projected) > MOST_PROJECTED:
            self._projected.clear()
        windows: list[list[tuple[int, tuple[str, ...], bool, bool]]] = []
        counted = {metric.name for metric in self._by_session}
        has_slots = AUDIENCE_PEAK.of in counted and self.rules.shape.windows[0].seconds == SLOT_S
        for index, window in enumerate(self.rules.shape.windows):
            windows.append([])
            for number, kept in enumerate(self.rules.shape.sets):
                values = kept.project(all_values)
                if index in kept.windows and not (kept.set.carried and EMPTY in values):
                    is_hour = window.seconds == HOUR_S
                    sketches = index in kept.sketched and any(not metric.types for metric in self._by_session)
                    windows[-1].append((number, values, has_slots and is_hour and kept.set.peaks, sketches))
        self._projected[all_values] = windows
        return windows

    def _cell(self, index: int, number: int, start: int, values: tuple[str, ...]) -> Cell:
        """Return the counts of the row that values count in, and the sessions seen with just these values."""
        row_id = self._row(index, number, start, values)
        return self.rows.setdefault(row_id, {}), {}, self.seen.setdefault(row_id, {})

    def _row(self, index: int, number: int, start: int, values: tuple[str, ...]) -> RowId:
        """Return the row that values count in; over the bound of their set that of all others."""
        row_id = (index, number, start, values)
        kept = self.rules.shape.sets[number]
        partner_set = self.rules.shape.partner_set
        if row_id in self.rows or partner_set in (None, number) or values[1:] == kept.others:
            return row_id
        held = (index, number, start, values[0])
        if self._rows_held[held] >= min(kept.set.most, self.rules.max_entries):
            return (index, number, start, (values[0], *kept.others))
        self._rows_held[held] += 1
        return row_id
