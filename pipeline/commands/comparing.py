"""Rows as a recount wants them, beside rows as they are: row by row. Pure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from pipeline.catalog import METRICS
from pipeline.commands.recount import Range, Recount, Seen
from pipeline.rows import Rules
from pipeline.sketch import Sketch
from pipeline.windows import SKETCH, Counts, RowId, is_expired, read_row, row_id_of

# A row's place: partition, and which row of it.
Place = tuple[int, RowId]
NO_ROWS: Mapping[Place, Counts] = {}


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
        (partition, row_id): _with_sketches(counts, recount.seen[row_id], found.get((partition, row_id), {}))
        for partition, recount in recounts.items()
        for row_id, counts in recount.rows.items()
        if not is_expired(recount.rules.shape.windows[row_id[0]], row_id[2], now_s.get(partition, 0.0))
    }


def still_kept(rows: Mapping[Place, Counts], rules: Rules, now_s: float) -> dict[Place, Counts]:
    """Return the rows whose retention is not over at `now_s`, Unix seconds."""
    windows = rules.shape.windows
    return {place: counts for place, counts in rows.items() if not is_expired(windows[place[1][0]], place[1][2], now_s)}


def _with_sketches(counts: Counts, seen: Seen, found: Counts) -> Counts:
    counted: Counts = {}
    for name, hashes in seen.items():
        if SKETCH + name in found:
            sketch = Sketch()
            sketch.add(hashes)
            counted[SKETCH + name] = sketch.count()
    return counts | counted if counted else counts


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what it must be; no metrics: no such row."""

    place: Place
    must_be: Counts
    is_: Counts


def differences(wanted: Mapping[Place, Counts], found: Mapping[Place, Counts]) -> list[Difference]:
    """Return every row that is not what it must be, oldest window first."""
    wrong = [place for place in wanted.keys() | found.keys() if wanted.get(place) != found.get(place)]
    return in_order(Difference(place, dict(wanted.get(place, {})), dict(found.get(place, {}))) for place in wrong)


def in_order(wrong: Iterable[Difference]) -> list[Difference]:
    """Return differences, oldest window first."""
    return sorted(wrong, key=lambda one: (one.place[1][2], one.place))


def add_up(sums: dict[Place, Counts], rows: Mapping[Place, Counts]) -> None:
    """Add rows to sums over partitions, in the metrics that the report shows of each; their partition is -1."""
    shown = {metric.name for metric in METRICS}
    for (_, row_id), counts in rows.items():
        row = sums.setdefault((-1, row_id), {})
        for name, count in counts.items():
            if name in shown:
                row[name] = row.get(name, 0) + count
