"""From what SQLite says to what people read: derived numbers, units, JSON and CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.report import moment
from pipeline.report.cover import estimates_in, peaks_in, sessions_add_up
from pipeline.report.problem import too_large
from pipeline.report.query import Query
from pipeline.report.words import (
    DERIVED_METRIC,
    DISTINCT_METRIC,
    METRIC,
    PEAK,
    TIME,
    Bucket,
    Times,
    counts_sessions,
    sums_of,
)
from pipeline.sketch import CONFIDENCE, ERROR

Number = int | float | None
Cells = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows that SQLite gave for one query.

    Attributes:
        by, sums: names of a row's columns: first `by`, then the sums, then the sums before if compared.
        rows: the rows asked for.
        total_rows: how many there are without limit and offset.
        totals: sums over all rows.
        before: range compared with and its totals.
    """

    by: tuple[str, ...]
    sums: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    total_rows: int
    totals: tuple[int, ...]
    before: tuple[int, int, tuple[int, ...]] | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far an answer reaches, in Unix milliseconds, cut at its end.

    Attributes:
        counted_through: every beacon answered 200 before is in the rows; None: not known yet.
        as_of: receive time of the newest counted beacon; None: there is none.
        until: end of the answer's range, Unix seconds.
    """

    counted_through: int | None
    as_of: int | None
    until: int

    @property
    def complete(self) -> bool:
        """Tell whether every beacon answered 200 within the range is counted."""
        return self.counted_through is not None and self.counted_through >= self.until * 1000


def freshness(counted_through: int | None, as_of: int | None, until: int) -> Freshness:
    """Return the freshness of an answer up to `until`: of a closed window it no longer moves."""
    end = until * 1000
    return Freshness(
        None if counted_through is None else min(counted_through, end),
        None if as_of is None else min(as_of, end),
        until,
    )


def number(metric: str, sums: dict[str, int]) -> Number:
    """Return a metric in the unit that people see."""
    if metric in METRIC:
        return sums[metric] / 1000 if METRIC[metric].unit == "ms" else sums[metric]
    if metric in DISTINCT_METRIC:
        return sums[metric]
    if metric == PEAK:
        # Somebody watched, and no hour row says when: the line keeps no peaks.
        watched = any(sums[name] for name in sums_of(metric))
        return sums[metric] or (None if watched else 0)
    derived = DERIVED_METRIC[metric]
    over = sum(sums[name] * factor for factor, name in derived.over)
    under = (sum(sums[name] * factor for factor, name in derived.under) if derived.under else 1) * derived.per
    if under == 0 or (not derived.under and over < 0):
        return None  # no value instead of a wrong one
    return round(over / under, 6)


def time_writer(query: Query) -> Callable[[int], int | str]:
    """Return how `time` is written for this query."""
    tz = moment.zone("tz", query.shape.tz)
    days = query.shape.bucket is Bucket.DAY
    iso = query.shape.times is Times.ISO

    def write(value: int) -> int | str:
        seconds = moment.day_start(value, tz) if days else value
        return moment.text_of(seconds, tz) if iso else seconds

    return write


def unknown(query: Query) -> tuple[frozenset[str], frozenset[str]]:
    """Return the metrics that cannot be known of rows, and of totals."""
    sessions = frozenset(metric for metric in query.shape.metrics if counts_sessions(metric))
    rows_add_up, totals_add_up = sessions_add_up(query)
    rows, totals = frozenset() if rows_add_up else sessions, frozenset() if totals_add_up else sessions
    peaks = peaks_in(query)
    if peaks is not None:
        rows = rows if peaks.rows else rows | {PEAK}
        totals = totals if peaks.totals else totals | {PEAK}
    estimated = estimates(query)
    return rows - estimated["rows"], totals - estimated["totals"]


def estimates(query: Query) -> dict[str, frozenset[str]]:
    """Return the metrics that are estimated in the rows, and in the totals, of an answer."""
    found = estimates_in(query)
    return {
        "rows": frozenset(name for name, hours in found.items() if hours.rows),
        "totals": frozenset(name for name, hours in found.items() if hours.totals),
    }


def _estimates(query: Query) -> dict[str, Any]:
    """Return what an answer says of its estimates."""
    shown = {part: names & {*query.shape.metrics} for part, names in estimates(query).items()}
    return {
        name: {"error": ERROR, "confidence": CONFIDENCE, "in": [part for part, names in shown.items() if name in names]}
        for name in sorted(frozenset().union(*shown.values()))
    }


def _metrics(query: Query, names: tuple[str, ...], cells: Cells, nothing: frozenset[str]) -> dict[str, Number]:
    sums = dict(zip(names, cells, strict=True))
    return {metric: None if metric in nothing else number(metric, sums) for metric in query.shape.metrics}


def shown_rows(query: Query, table: Table) -> list[dict[str, Any]]:
    """Return the rows as people see them."""
    write_time = time_writer(query)
    first, second = len(table.by), len(table.by) + len(table.sums)
    rows = []
    nothing, _ = unknown(query)
    for cells in table.rows:
        row: dict[str, Any] = dict(zip(table.by, cells[:first], strict=True))
        if TIME in row:
            row[TIME] = write_time(row[TIME])
        row |= _metrics(query, table.sums, cells[first:second], nothing)
        if table.before is not None:
            row["previous"] = _metrics(query, table.sums, cells[second:], nothing)
        rows.append(row)
    return rows


def check_whole(query: Query, table: Table) -> None:
    """Refuse an answer that should be whole, but is only a part: nothing in a download would say so."""
    shape = query.shape
    left = table.total_rows - shape.offset
    if shape.whole and left > shape.limit:
        detail = f"There are {left} rows, {shape.limit} at most in one answer: ask for a shorter range or a longer "
        raise too_large(f"{detail}window, or part by part with limit={shape.limit} and offset.")


def content(query: Query, table: Table) -> dict[str, Any]:
    """Return the part of an answer that only its rows decide."""
    _, nothing = unknown(query)
    found: dict[str, Any] = {
        "rows": shown_rows(query, table),
        "totals": _metrics(query, table.sums, table.totals, nothing),
        "totalRows": table.total_rows,
        "limit": query.shape.limit,
        "offset": query.shape.offset,
    }
    if estimated := _estimates(query):
        found["estimates"] = estimated
    if table.before is not None:
        since, until, totals = table.before
        found["previous"] = {"from": since, "to": until, "totals": _metrics(query, table.sums, totals, nothing)}
    return found


def head(query: Query, fresh: Freshness) -> dict[str, Any]:
    """Return the part of an answer that says what it covers."""
    return {
        "window": query.shape.window.name,
        "from": query.since,
        "to": query.until,
        "countedThrough": None if fresh.counted_through is None else fresh.counted_through / 1000,
        "asOf": None if fresh.as_of is None else fresh.as_of / 1000,
        "complete": fresh.complete,
    }


def json_body(query: Query, fresh: Freshness, rest: bytes) -> bytes:
    """Return an answer as JSON; `rest` is its content, written before."""
    return orjson.dumps(head(query, fresh))[:-1] + b"," + rest[1:]


# What a spreadsheet takes for a formula, wide forms too (OWASP); NUL ends a cell in some of them.
_FORMULA = re.compile("[=+\\-@\t\r\n\0＝＋－＠]")


def csv_cell(value: Any, metric: str = "") -> str:
    """Return one cell: numbers bare, text always quoted and never a formula."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if metric in METRIC else format(value, ".6f")
    if isinstance(value, int):
        return str(value)
    safe = f"'{value}" if _FORMULA.match(value) else value
    return '"' + safe.replace('"', '""') + '"'


def csv_body(query: Query, found: dict[str, Any]) -> bytes:
    """Return the rows of an answer as CSV (RFC 4180); values before stand in columns of their own."""
    metrics = query.shape.metrics
    compared = "previous" in found
    names = [*query.shape.by, *metrics]
    names += [f"previous{metric[0].upper()}{metric[1:]}" for metric in metrics] if compared else []
    lines = [",".join(csv_cell(name) for name in names)]
    for row in found["rows"]:
        cells = [csv_cell(row[name]) for name in query.shape.by]
        cells += [csv_cell(row[metric], metric) for metric in metrics]
        if compared:
            cells += [csv_cell(row["previous"][metric], metric) for metric in metrics]
        lines.append(",".join(cells))
    return ("\r\n".join(lines) + "\r\n").encode()


def csv_estimates(query: Query) -> str:
    """Return which columns of a CSV answer are estimates, and their error; "" for none."""
    names = sorted(estimates(query)["rows"] & {*query.shape.metrics})
    return ", ".join(f"{name};error={ERROR};confidence={CONFIDENCE}" for name in names)


def csv_name(query: Query) -> str:
    """Return the file name of a CSV answer: made of the catalog's words and numbers only."""
    return f"report-{query.shape.window.name}-{query.since}-{query.until}.csv"
