"""Rows of topic `windows` as a warehouse keeps them for years. Pure.

One row a window, set of dimensions and partition, as in the topic; the warehouse adds partitions up. `version`
grows with every writing of a row, so whatever order and however often rows arrive, the newest of a key counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from pipeline.catalog import METRICS, SETS, WINDOWS, Window
from pipeline.windows import HOUR_S, is_expired

# Of every set; a row has "" in those that are not of its own.
DIMENSION_NAMES = tuple(dict.fromkeys(name for kept in SETS for name in kept.dimensions))
KEY = ("window", "start", "set", *DIMENSION_NAMES, "partition")
TEXTS = ("window", "set", *DIMENSION_NAMES)
METRIC_NAMES = tuple(metric.name for metric in METRICS)
COLUMNS = (*KEY, *METRIC_NAMES, "version", "deleted")

HISTORY: dict[str, Window] = {window.name: window for window in WINDOWS if window.seconds >= HOUR_S}

Row = dict[str, Any]


def warehouse_row(key: bytes, value: bytes | None, version: int, now_s: float) -> Row | None:
    """Return the row of a record of topic `windows`; None if a warehouse does not take it.

    Args:
        key: of the record; no position's.
        value: of the record; None where the row ended.
        version: when Kafka took the record in, Unix ms.
        now_s: the line's own time, Unix seconds. A row that ended by its retention stays in the warehouse: that
            is what the warehouse is for. One that ended before was erased, and is deleted there too.
    """
    words = orjson.loads(key)
    window = HISTORY.get(words["window"])
    if window is None or (value is None and is_expired(window, words["start"], now_s)):
        return None
    counts = {} if value is None else orjson.loads(value)
    row: Row = {name: words.get(name, "") for name in KEY}
    row |= {name: counts.get(name, 0) for name in METRIC_NAMES}
    return row | {"version": version, "deleted": int(value is None)}


def key_of(row: Row) -> tuple[Any, ...]:
    """Return what names a row."""
    return tuple(row[name] for name in KEY)


def newest(rows: Iterable[Row]) -> list[Row]:
    """Return of each key the row with the highest version; of equal ones the last."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        held = found.get(key_of(row))
        if held is None or row["version"] >= held["version"]:
            found[key_of(row)] = row
    return list(found.values())


def day_of(row: Row) -> str:
    """Return the day (UTC) of a row's window, the file that it belongs to."""
    return datetime.fromtimestamp(row["start"], UTC).strftime("%Y-%m-%d")
