"""Recount a range of time straight from beacons, and compare with rows. Pure.

Its own fold, straightforward on purpose: no cells, no checkpoints, no store. What it shares with the worker is
only what a beacon means (EventReader), how a segment's watched time grows, and the one sentence of the rule:
the first sighting within the horizon counts. So what it finds different is a fault of the worker, of Kafka, or
of whoever wrote the row.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from pipeline.batch import MAX_LINES
from pipeline.catalog import AUDIENCE_PEAK, METRICS, Adds, EventType, Metric, Window
from pipeline.event import Event
from pipeline.parameters import Reason, Rejected
from pipeline.rows import Rules
from pipeline.sessions import Session, grown
from pipeline.sketch import Sketch
from pipeline.viewers import Viewers
from pipeline.windows import (
    EMPTY,
    HOUR_S,
    OTHER,
    PEAK,
    SKETCH,
    SLOT_S,
    Counts,
    RowId,
    is_expired,
    read_row,
    row_id_of,
)

MOST_PROJECTED = 100_000

# A row's place: partition, and which row of it.
Place = tuple[int, RowId]
NO_ROWS: Mapping[Place, Counts] = {}
# By name of a sketch, whom it must have seen.
Seen = dict[str, set[int]]
# A row's counts, the sessions seen in it, each with the names that it is counted under, and who its sketches have seen.
Cell = tuple[Counts, dict[bytes, set[str]], Seen]
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
    _rows_held: Counter[tuple[int, int, int, str]] = field(default_factory=Counter)
    _cells: dict[RowId, Cell] = field(default_factory=dict)
    _projected: dict[tuple[str, ...], Projected] = field(default_factory=dict)
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
            if first is not None and abs(seconds - first) < horizon_s:
                outcomes["duplicates"] += 1
                continue
            seen[event.identity] = seconds
            self.time = max(self.time, event.time)
            outcomes["unique" if event.is_known else "unknownTypes"] += 1
            amounts = event.amounts
            if event.session and self._watched is not None:
                # How far a segment has played before, may lie before the range: every session is followed.
                grew = grown(self._sessions.setdefault(event.session, Session()), event)
                amounts = {**amounts, self._watched: grew} if grew else amounts
            if amounts or event.session:
                self._add(seconds, event, amounts)

    def _reject(self, reason: Reason, beacons: int = 1) -> None:
        self.outcomes["rejected"] += beacons
        self.outcomes["rejected." + reason] += beacons

    def _add(self, seconds: int, event: Event, amounts: Mapping[str, int]) -> None:
        shape, range_ = self.rules.shape, self.range
        if not range_.begin <= seconds < range_.end or range_.partner not in (None, event.partner):
            return
        projected = self._projected.get(event.values) or self._project(event.values)
        seen_as = [metric.name for metric in self._by_session if not metric.types or event.type in metric.types]
        for index, window in enumerate(shape.windows):
            start = seconds - seconds % window.seconds
            if start < range_.begin or start + window.seconds > range_.end:
                continue
            if is_expired(window, start, self.time / 1000):
                continue
            for number, values, keeps_peaks, keeps_sketches in projected[index]:
                cell = self._cells.get((index, number, start, values))
                if cell is None:
                    cell = self._cells[index, number, start, values] = self._cell(index, number, start, values)
                counts = cell[0]
                for name, amount in amounts.items():
                    counts[name] = counts.get(name, 0) + amount
                if event.session:
                    names = seen_as
                    if keeps_peaks and event.type == EventType.VIEW:
                        names = [*seen_as, f"{PEAK}{(seconds - start) // SLOT_S}"]
                    self._sight(event, names, cell, keeps_sketches)

    def _sight(self, event: Event, names: list[str], cell: Cell, keeps_sketches: bool) -> None:
        """Count a session in a row, once under each name, and put it among those that its sketches must have seen."""
        counts, sessions, seen = cell
        before = sessions.setdefault(event.session, set())
        for name in names:
            if name not in before:
                before.add(name)
                counts[name] = counts.get(name, 0) + 1
        if keeps_sketches:
            for name, one in self._viewers.seen(event):
                seen.setdefault(name, set()).add(one)

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
        kept = self.rules.shape.sets[number].set
        partner_set = self.rules.shape.partner_set
        if row_id in self.rows or partner_set in (None, number) or values[1] == OTHER:
            return row_id
        held = (index, number, start, values[0])
        if self._rows_held[held] >= min(kept.most, self.rules.max_entries):
            return (index, number, start, (values[0], *(OTHER for _ in values[1:])))
        self._rows_held[held] += 1
        return row_id


def found_rows(
    records: Mapping[bytes, bytes], rules: Rules, range_: Range, now_s: Mapping[int, float]
) -> dict[Place, Counts]:
    """Return the rows that topic `windows` holds in a range.

    Args:
        records: the last value of each key.
        rules: of the line.
        range_: which rows.
        now_s: the line's own time per partition, Unix seconds: expired rows may be gone already, so none counts.
    """
    windows = rules.shape.windows
    found: dict[Place, Counts] = {}
    for key, value in records.items():
        row_id = row_id_of(key, rules.shape)
        if row_id is None or not range_.holds(windows[row_id[0]], row_id):
            continue
        partition = orjson.loads(key)["partition"]
        if not is_expired(windows[row_id[0]], row_id[2], now_s.get(partition, 0.0)):
            row = read_row(row_id, key, value)
            counts = {name: count for name, count in row.counts.items() if count and not name.startswith("rows.")}
            sketches = {name: Sketch(b64decode(text)).count() for name, text in row.sketches.items()}
            found[partition, row_id] = counts | sketches
    return found


def wanted_rows(
    recounts: Mapping[int, Recount], now_s: Mapping[int, float], found: Mapping[Place, Counts] = NO_ROWS
) -> dict[Place, Counts]:
    """Return the rows that recounts say there must be, without those that are expired by now.

    Sketches are compared by what they count, and only those that are `found`: a row that was begun before its set
    had sketches has none, and needs none.
    """
    return {
        (partition, row_id): counts | _sketched(recount.seen.get(row_id, {}), found.get((partition, row_id), {}))
        for partition, recount in recounts.items()
        for row_id, counts in recount.rows.items()
        if not is_expired(recount.rules.shape.windows[row_id[0]], row_id[2], now_s.get(partition, 0.0))
    }


def _sketched(seen: Seen, found: Counts) -> Counts:
    counted: Counts = {}
    for name, hashes in seen.items():
        if SKETCH + name in found:
            sketch = Sketch()
            sketch.add(hashes)
            counted[SKETCH + name] = sketch.count()
    return counted


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what it must be; no metrics: no such row."""

    place: Place
    must_be: Counts
    is_: Counts


def differences(wanted: Mapping[Place, Counts], found: Mapping[Place, Counts]) -> Iterator[Difference]:
    """Yield every row that is not what it must be, oldest window first."""
    wrong = [place for place in wanted.keys() | found.keys() if wanted.get(place) != found.get(place)]
    for place in sorted(wrong, key=lambda place: (place[1][2], place)):
        yield Difference(place, dict(wanted.get(place, {})), dict(found.get(place, {})))


def summed(rows: Mapping[Place, Counts]) -> dict[Place, Counts]:
    """Return rows summed over partitions, in the metrics that the report shows of each; their partition is -1."""
    shown = {metric.name for metric in METRICS}
    sums: dict[Place, Counts] = {}
    for (_, row_id), counts in rows.items():
        row = sums.setdefault((-1, row_id), {})
        for name, count in counts.items():
            if name in shown:
                row[name] = row.get(name, 0) + count
    return sums
