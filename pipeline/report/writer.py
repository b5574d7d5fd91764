"""The parts of an answer's SQL: names from the catalog only, every value bound."""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from zoneinfo import ZoneInfo

import orjson

from pipeline.report import moment
from pipeline.report.cover import blocks_of, peaks_in, sums_needed, table_of
from pipeline.report.problem import bad_value
from pipeline.report.query import Order, Query
from pipeline.report.schema import Table
from pipeline.report.words import DERIVED_METRIC, PEAK, TIME, Bucket
from pipeline.windows import HOUR_S


class Writer:
    """Collects the parts of one statement and the values bound to it."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.shape = query.shape
        self.tz = moment.zone("tz", query.shape.tz)
        self.by = query.shape.by
        self.peaks = peaks_in(query)
        self.sums = (*sums_needed(query), *((PEAK,) if self.peaks else ()))
        self.values: dict[str, str | int] = {"limit": query.shape.limit, "offset": query.shape.offset}

    def bind(self, value: str | int) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def one_of(self, values: tuple[str, ...]) -> str:
        # With = SQLite knows that a column is constant, and groups in key order without sorting.
        if len(values) == 1:
            return f"= {self.bind(values[0])}"
        return f"IN ({', '.join(self.bind(value) for value in values)})"

    def where(self, query: Query, table: Table) -> str:
        """Return which rows of a table are in a range, by the blocks that it touches and by their start."""
        conditions = [
            self.block(query, table),
            f"start >= {self.bind(query.since)} AND start < {self.bind(query.until)}",
            *(f'"{name}" {self.one_of(values)}' for name, values in self.shape.filters),
        ]
        return " AND ".join(conditions)

    def block(self, query: Query, table: Table) -> str:
        blocks = blocks_of(query, table)
        if len(blocks) == 1:
            return f"block = {self.bind(blocks[0])}"
        return f"block IN (SELECT value FROM json_each({self.bind(orjson.dumps(list(blocks)).decode())}))"

    def time(self, query: Query, start: str = "start") -> str:
        """Return the bucket of an instant: its window's start, its local hour's start or its local day's number."""
        if self.shape.bucket is Bucket.WINDOW:
            return start if start == "start" else f"({start} - {start} % {self.shape.window.seconds})"
        runs = moment.offsets(query.since, query.until, self.tz)
        ahead = self.bind(runs[0][1])
        for since, following in runs[1:]:
            ahead = f"CASE WHEN {start} < {self.bind(since)} THEN {ahead} ELSE {self.bind(following)} END"
        if self.shape.bucket is Bucket.HOUR:
            return f"({start} - ({start} + {ahead}) % 3600)"
        return f"(({start} + {ahead}) / 86400)"

    def columns(self, query: Query, later: int, start: str = "start") -> list[str]:
        """Return the columns of `by`; `later` is added to their time."""
        time = f'{self.time(query, start)} + {self.bind(later)} AS "time"' if TIME in self.by else ""
        return [time if name == TIME else f'"{name}"' for name in self.by]

    def group(self) -> str:
        numbers = ", ".join(str(n + 1) for n in range(len(self.by)))
        return f" GROUP BY {numbers}" if self.by else ""

    def source(self, query: Query, later: int = 0) -> str:
        """Return the rows of a range added up over partitions, with their peaks; `later` is added to their time."""
        if self.peaks is None:
            return self.grouped(query, later)
        if self.peaks.rows is None:
            return f'SELECT *, NULL AS "{PEAK}" FROM ({self.grouped(query, later)})'
        peaks = self.peaks_of(query, self.peaks.rows, later)
        return (
            f'SELECT r.*, k."{PEAK}" FROM ({self.grouped(query, later)}) r '
            f"LEFT JOIN ({peaks}) k ON {self.joined('r', 'k')}"
        )

    def grouped(self, query: Query, later: int) -> str:
        table = table_of(query)
        columns = self.columns(query, later)
        columns += [f'coalesce(sum("{name}"), 0) AS "{name}"' for name in self.sums if name != PEAK]
        return f'SELECT {", ".join(columns)} FROM "{table.name}" WHERE {self.where(query, table)}{self.group()}'

    def peaks_of(self, query: Query, table: Table, later: int) -> str:
        """Return the peak of each row, out of the slots of hour rows: partitions first, then the largest sum.

        Where hours are cut into shorter buckets, each hour is looked at piece by piece.
        """
        size = self.piece(query)
        pieces = orjson.dumps(list(range(0, HOUR_S, size))).decode()
        dimensions = [f'"{name}"' for name in self.by if name != TIME]
        columns = ", ".join((*self.columns(query, later, "(hour + piece)"), self.most(query, "piece", size)))
        hours = self.hours(query, table, dimensions)
        cut = f"(SELECT value AS piece FROM json_each({self.bind(pieces)}))"
        return f"SELECT {columns} FROM ({hours}) CROSS JOIN {cut}{self.group()}"

    def piece(self, query: Query) -> int:
        """Return the seconds of an hour that surely are in one bucket together."""
        if TIME not in self.by:
            return HOUR_S
        if self.shape.bucket is Bucket.WINDOW:
            return min(HOUR_S, self.shape.window.seconds)
        return gcd(HOUR_S, *(ahead for _, ahead in moment.offsets(query.since, query.until, self.tz)))

    def hours(self, query: Query, table: Table, dimensions: list[str]) -> str:
        """Return the slots of every hour that a range touches, added up over partitions."""
        whole = replace(query, since=query.since // HOUR_S * HOUR_S)
        grouped = ", ".join(("start", *dimensions))
        return (
            f'SELECT {", ".join(("start AS hour", *dimensions))}, slots_sum(slots) AS slots FROM "{table.name}" '
            f"WHERE {self.where(whole, table)} AND slots IS NOT NULL GROUP BY {grouped}"
        )

    def most(self, query: Query, begin: str, seconds: int) -> str:
        """Return the largest sum of the slots in a part of an hour, as far as it is in the range."""
        since, until = self.bind(query.since), self.bind(query.until)
        part = f"max({begin}, {since} - hour), min({begin} + {seconds}, {until} - hour)"
        return f'max(slots_most(slots, {part})) AS "{PEAK}"'

    def totals(self, query: Query) -> list[str]:
        """Return the columns of the totals over the rows of a range."""
        totals = [f'coalesce(sum("{name}"), 0)' for name in self.sums if name != PEAK]
        if self.peaks is None:
            return totals
        if self.peaks.totals is None:
            return [*totals, "NULL"]
        hours = self.hours(query, self.peaks.totals, [])
        return [*totals, f"(SELECT {self.most(query, '0', HOUR_S)} FROM ({hours}))"]

    def joined(self, left: str, right: str) -> str:
        return " AND ".join(f'{left}."{name}" = {right}."{name}"' for name in self.by) or "1"

    def grid(self, buckets: list[int]) -> str:
        """Return every bucket and value asked for, with zeros where there is no row."""
        filters = dict(self.shape.filters)
        sources = []
        for name in self.by:
            if name == TIME:
                times = self.bind(orjson.dumps(buckets).decode())
                sources.append(f'(SELECT value AS "time" FROM json_each({times}))')
            else:
                rows = ", ".join(f"({self.bind(value)})" for value in filters[name])
                sources.append(f'(SELECT column1 AS "{name}" FROM (VALUES {rows}))')
        cells = f"SELECT * FROM {' CROSS JOIN '.join(sources)}"
        columns = [f'g."{n}"' for n in self.by] + [f'coalesce(s."{n}", 0) AS "{n}"' for n in self.sums]
        return f"SELECT {', '.join(columns)} FROM ({cells}) g LEFT JOIN s ON {self.joined('g', 's')}"

    def ordered(self, order: tuple[Order, ...]) -> str:
        terms = [f"{self.rank(one.word)}{' DESC' if one.descending else ''} NULLS LAST" for one in order]
        return f" ORDER BY {', '.join(terms)}" if terms else ""

    def rank(self, word: str) -> str:
        if word not in DERIVED_METRIC:
            return f't."{word}"'
        derived = DERIVED_METRIC[word]
        over = " + ".join(f't."{name}" * {factor}' for factor, name in derived.over)
        under = " + ".join(f't."{name}" * {factor}' for factor, name in derived.under) or "1"
        return f"((({over}) * 1.0) / nullif(({under}) * {derived.per}, 0))"


def bucket_starts(query: Query) -> list[int]:
    """Return every value that `time` can have: instants, or day numbers for days."""
    shape, tz = query.shape, moment.zone("tz", query.shape.tz)
    starts = range(query.since, query.until, shape.window.seconds)
    if shape.bucket is Bucket.WINDOW:
        return list(starts)
    local = [(start, start + moment.offset_at(start, tz)) for start in starts]
    if shape.bucket is Bucket.HOUR:
        return sorted({start - at % 3600 for start, at in local})
    return sorted({at // 86_400 for _, at in local})


def before(query: Query, tz: ZoneInfo) -> tuple[int, int, int]:
    """Return the range before this one, and what its `time` is behind by."""
    span = query.until - query.since
    if query.shape.bucket is not Bucket.DAY:
        if query.shape.bucket is Bucket.HOUR and span % 3600:
            raise bad_value("compare", "previous", "With bucket=hour the range must be whole hours.")
        return query.since - span, query.since, span
    first = moment.day_number(query.since, tz)
    days = moment.day_number(query.until - 1, tz) - first + 1
    since = moment.day_start(first - days, tz) + query.since - moment.day_start(first, tz)
    return since, since + span, days
