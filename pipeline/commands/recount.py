"""Recount a range of time straight from beacons, and compare with rows. Pure.

Its own fold, straightforward on purpose: no cells, no checkpoints, no store. What it shares with the worker is
only what a beacon means (read_event) and the one sentence of the rule: the first sighting within the horizon
counts. So what it finds different is a fault of the worker, of Kafka, or of whoever wrote the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from pipeline.catalog import METRICS, EventType, Window
from pipeline.event import read_event
from pipeline.parameters import Reason, Rejected
from pipeline.partition import MAX_LINES
from pipeline.rows import Rules
from pipeline.windows import OTHER, Counts, RowId, is_expired, row_id_of

# A row's place: partition, and which row of it.
Place = tuple[int, RowId]
_NAMES = tuple(metric.name for metric in METRICS)
_KNOWN_TYPES = frozenset(int(kind) for kind in EventType)


@dataclass(frozen=True, slots=True)
class Range:
    """The windows that lie whole in [begin, end), Unix seconds, of one partner or all."""

    begin: int
    end: int
    partner: str | None = None

    def holds(self, window: Window, row_id: RowId) -> bool:
        """Tell whether a row is one of these."""
        _, start, partner, _ = row_id
        return (
            self.begin <= start
            and start + window.seconds <= self.end
            and (self.partner is None or partner == self.partner)
        )


@dataclass(slots=True)
class Recount:
    """Counts one partition's beacons again.

    Attributes:
        rows: what every row must be.
        outcomes: what became of the beacons taken, in the words of the ledger.
        time: of the newest beacon that counted, Unix ms.
    """

    rules: Rules
    range: Range
    rows: dict[RowId, Counts] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    time: int = 0
    _seen: dict[bytes, int] = field(default_factory=dict)
    _entries: Counter[tuple[int, int, str]] = field(default_factory=Counter)

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
                event = read_event(line, self.rules.by_pair)
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
            if event.type not in _KNOWN_TYPES:
                outcomes["unknownTypes"] += 1
                continue
            outcomes["unique"] += 1
            if event.amounts:
                self._add(seconds, event.partner, event.entry, event.amounts)

    def _reject(self, reason: Reason, beacons: int = 1) -> None:
        self.outcomes["rejected"] += beacons
        self.outcomes["rejected." + reason] += beacons

    def _add(self, seconds: int, partner: str, entry: str, amounts: Mapping[str, int]) -> None:
        shape, range_ = self.rules.shape, self.range
        if not range_.begin <= seconds < range_.end or range_.partner not in (None, partner):
            return
        for index, window in enumerate(shape.windows):
            start = seconds - seconds % window.seconds
            if start < range_.begin or start + window.seconds > range_.end:
                continue
            if is_expired(window, start, self.time / 1000):
                continue
            if shape.partner_rows:
                self._add_to((index, start, partner, ""), amounts)
            if shape.entry_rows:
                self._add_to(self._entry_row(index, start, partner, entry), amounts)

    def _entry_row(self, index: int, start: int, partner: str, entry: str) -> RowId:
        """Return the row of an entry; over the partner's bound that of all others."""
        row_id = (index, start, partner, entry)
        if row_id in self.rows or entry == OTHER or not self.rules.shape.partner_rows:
            return row_id
        if self._entries[index, start, partner] >= self.rules.max_entries:
            return (index, start, partner, OTHER)
        self._entries[index, start, partner] += 1
        return row_id

    def _add_to(self, row_id: RowId, amounts: Mapping[str, int]) -> None:
        row = self.rows.get(row_id)
        if row is None:
            self.rows[row_id] = {**amounts}
        else:
            for name, amount in amounts.items():
                row[name] = row.get(name, 0) + amount


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
        row_id = row_id_of(key, windows)
        if row_id is None or not range_.holds(windows[row_id[0]], row_id):
            continue
        partition = orjson.loads(key)["partition"]
        if not is_expired(windows[row_id[0]], row_id[1], now_s.get(partition, 0.0)):
            counts = orjson.loads(value)
            found[partition, row_id] = {name: counts[name] for name in _NAMES if counts.get(name)}
    return found


def wanted_rows(recounts: Mapping[int, Recount], now_s: Mapping[int, float]) -> dict[Place, Counts]:
    """Return the rows that recounts say there must be, without those that are expired by now."""
    return {
        (partition, row_id): counts
        for partition, recount in recounts.items()
        for row_id, counts in recount.rows.items()
        if not is_expired(recount.rules.shape.windows[row_id[0]], row_id[1], now_s.get(partition, 0.0))
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what it must be; no metrics: no such row."""

    place: Place
    must_be: Counts
    is_: Counts


def differences(wanted: Mapping[Place, Counts], found: Mapping[Place, Counts]) -> Iterator[Difference]:
    """Yield every row that is not what it must be, oldest window first."""
    wrong = [place for place in wanted.keys() | found.keys() if wanted.get(place) != found.get(place)]
    for place in sorted(wrong, key=lambda place: (place[1][1], place)):
        yield Difference(place, dict(wanted.get(place, {})), dict(found.get(place, {})))


def summed(rows: Mapping[Place, Counts]) -> dict[Place, Counts]:
    """Return rows summed over partitions, as the report shows them; their partition is -1."""
    sums: dict[Place, Counts] = {}
    for (_, row_id), counts in rows.items():
        row = sums.setdefault((-1, row_id), {})
        for name, count in counts.items():
            row[name] = row.get(name, 0) + count
    return sums
