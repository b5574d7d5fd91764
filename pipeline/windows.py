"""Fold and roll up: events become cells of the finest window, cells become rows of every window and set.

A window is tumbling: [start, start + size) by ingest's receive time, start a multiple of its size in Unix
seconds. A late event goes to the window of its receive time, whatever its age.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar
from zlib import crc32

import orjson

from pipeline.catalog import DimensionSet, Window
from pipeline.event import Event

Counts = dict[str, int]
# Start of the finest window, partner, entry as JSON text.
Cells = dict[tuple[int, str, str], Counts]
# Index of the window, start, partner, entry as JSON text; "" is the row of the whole partner.
RowId = tuple[int, int, str, str]

K = TypeVar("K")

OTHER = '"(other)"'


@dataclass(slots=True)
class Row:
    """The counts of one window and one set of dimensions in one partition.

    Attributes:
        id: its window, start and dimensions.
        key: its key in topic `windows`.
        counts: metric name to integer; zero metrics are not there.
        offset: the beacon offset that the counts include; -1 for a row that is new.
    """

    id: RowId
    key: bytes
    counts: Counts = field(default_factory=dict)
    offset: int = -1

    def value(self) -> bytes:
        """Return its value in topic `windows`."""
        return orjson.dumps({**self.counts, "offset": self.offset})


@dataclass(frozen=True, slots=True)
class Shape:
    """The part of the catalog that a line keeps: its windows, finest first, and whether each set is kept."""

    windows: tuple[Window, ...]
    partner_rows: bool
    entry_rows: bool

    @classmethod
    def of(cls, windows: tuple[Window, ...], sets: tuple[DimensionSet, ...]) -> Shape:
        """Return the shape of these catalog lines.

        Raises:
            ValueError: a window's size is no multiple of the next finer one's: cells could not be rolled up.
        """
        ordered = tuple(sorted(windows, key=lambda window: window.seconds))
        for finer, coarser in pairwise(ordered):
            if coarser.seconds % finer.seconds:
                raise ValueError(f"window {coarser.name} is no multiple of window {finer.name}")
        names = {kept.name for kept in sets}
        return cls(ordered, "partner" in names, "entry" in names)


def fold(cells: Cells, event: Event, finest_s: int) -> None:
    """Add one event to the cell of its finest window."""
    seconds = event.time // 1000
    key = (seconds - seconds % finest_s, event.partner, event.entry)
    cell = cells.get(key)
    if cell is None:
        cells[key] = {**event.amounts}
    else:
        for name, amount in event.amounts.items():
            cell[name] = cell.get(name, 0) + amount


def roll_up(cells: Cells, shape: Shape) -> dict[RowId, Counts]:
    """Return what the cells add to each row, in the order in which the rows were first touched."""
    added: dict[RowId, Counts] = {}
    level = cells
    for index, window in enumerate(shape.windows):
        if index:
            level = _coarser(level, window.seconds)
        for (start, partner, entry), counts in level.items():
            if shape.partner_rows:
                _add(added, (index, start, partner, ""), counts)
            if shape.entry_rows:
                added[index, start, partner, entry] = counts
    return added


def _coarser(level: Cells, size: int) -> Cells:
    grouped: Cells = {}
    for (start, partner, entry), counts in level.items():
        _add(grouped, (start - start % size, partner, entry), counts)
    return grouped


def _add(sums: dict[K, Counts], key: K, counts: Counts) -> None:
    sum_ = sums.get(key)
    if sum_ is None:
        sums[key] = {**counts}
    else:
        merge(sum_, counts)


def merge(sum_: Counts, counts: Counts) -> None:
    """Add counts to a sum, metric by metric."""
    for name, amount in counts.items():
        sum_[name] = sum_.get(name, 0) + amount


def row_key(row_id: RowId, windows: tuple[Window, ...], partition: int) -> bytes:
    """Return a row's key in topic `windows`: JSON, its words in a fixed order, so that equal rows compact."""
    index, start, partner, entry = row_id
    if entry:
        dimensions = f'"set":"entry","partnerId":"{partner}","entryId":{entry}'
    else:
        dimensions = f'"set":"partner","partnerId":"{partner}"'
    text = f'{{"window":"{windows[index].name}","start":{start},{dimensions},"partition":{partition}}}'
    return text.encode()


def row_id_of(key: bytes, windows: tuple[Window, ...]) -> RowId | None:
    """Return which row a key of topic `windows` names; None if its window is in the catalog no more."""
    words = orjson.loads(key)
    for index, window in enumerate(windows):
        if window.name == words["window"]:
            entry = orjson.dumps(words["entryId"]).decode() if "entryId" in words else ""
            return index, words["start"], words["partnerId"], entry
    return None


def read_row(row_id: RowId, key: bytes, value: bytes) -> Row:
    """Return the row that a value of topic `windows` holds."""
    counts = orjson.loads(value)
    offset = counts.pop("offset")
    return Row(row_id, key, counts, offset)


def row_offset(value: bytes) -> int:
    """Return the beacon offset that a row's value includes, without decoding the rest."""
    return int(value[value.rindex(b":") + 1 : -1])


def is_expired(window: Window, start: int, now_s: float) -> bool:
    """Tell whether the retention of the window that starts at `start` is over at `now_s` (Unix seconds)."""
    return start + window.seconds + window.keep_seconds < now_s


def checksum_of(rows: list[tuple[bytes, bytes]]) -> int:
    """Return the checksum of a batch of rows, in order: a torn batch shows by it."""
    crc = 0
    for key, value in rows:
        crc = crc32(value, crc32(key, crc))
    return crc
