"""The parts of an answer's SQL: names from the catalog only, every value bound."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import orjson

from pipeline.report import moment
from pipeline.report.cover import beyond_sums, blocks_of, blocks_with, sums_needed, table_of
from pipeline.report.problem import bad_value
from pipeline.report.query import Order, Query
from pipeline.report.schema import Table
from pipeline.report.words import DERIVED_METRIC, DISTINCT_METRIC, PEAK, TIME, Bucket


class Writer:
    """Collects the parts of one statement and the values bound to it.

    Attributes:
        kept: the kept metrics that are added up.
        sums: all columns behind `by`: those, then what hour rows say beside them.
    """

    def __init__(self, query: Query) -> None:
        self.query = query
        self.shape = query.shape
        self.tz = moment.zone("tz", query.shape.tz)
        self.by = query.shape.by
        self.kept = sums_needed(query)
        self.sums = (*self.kept, *(name for name in (PEAK, *DISTINCT_METRIC) if name in beyond_sums(query)))
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

    def where(self, query: Query, table: Table, hours: tuple[int, ...] = ()) -> str:
        """Return which rows of a table are in a range, by the blocks that it touches and by their start.

        `hours`: only blocks that these hours touch are looked at.
        """
        blocks = blocks_of(query, table) if not hours else blocks_with(hours, table)
        conditions = [
            self.block(blocks),
            f"start >= {self.bind(query.since)} AND start < {self.bind(query.until)}",
            *(f'"{name}" {self.one_of(values)}' for name, values in self.shape.filters),
        ]
        return " AND ".join(conditions)

    def block(self, blocks: Sequence[int]) -> str:
        if len(blocks) == 1:
            return f"block = {self.bind(blocks[0])}"
        return f"block IN (SELECT value FROM json_each({self.bind(orjson.dumps(list(blocks)).decode())}))"

    def time(self, query: Query, at: str = "") -> str:
        """Return the bucket of an instant: its window's start, its local hour's start or its local day's number.

        `at`: the instant; nothing: the start of a row of the window asked for.
        """
        start = at or "start"
        if self.shape.bucket is Bucket.WINDOW:
            return f"({at} - {at} % {self.shape.window.seconds})" if at else start
        runs = moment.offsets(query.since, query.until, self.tz)
        ahead = self.bind(runs[0][1])
        for since, following in runs[1:]:
            ahead = f"CASE WHEN {start} < {self.bind(since)} THEN {ahead} ELSE {self.bind(following)} END"
        if self.shape.bucket is Bucket.HOUR:
            return f"({start} - ({start} + {ahead}) % 3600)"
        return f"(({start} + {ahead}) / 86400)"

    def columns(self, query: Query, later: int, at: str = "") -> list[str]:
        """Return the columns of `by`; `later` is added to their time."""
        time = f'{self.time(query, at)} + {self.bind(later)} AS "time"' if TIME in self.by else ""
        return [time if name == TIME else f'"{name}"' for name in self.by]

    def group(self) -> str:
        numbers = ", ".join(str(n + 1) for n in range(len(self.by)))
        return f" GROUP BY {numbers}" if self.by else ""

    def grouped(self, query: Query, later: int) -> str:
        """Return the rows of a range added up over partitions; `later` is added to their time."""
        table = table_of(query)
        columns = self.columns(query, later)
        columns += [f'coalesce(sum("{name}"), 0) AS "{name}"' for name in self.kept]
        return f'SELECT {", ".join(columns)} FROM "{table.name}" WHERE {self.where(query, table)}{self.group()}'

    def or_zero(self, table: str, name: str) -> str:
        """Return a column of a joined table: zero where it has no row; where it has, null is what it does not know."""
        column = f'{table}."{name}"'
        return f'CASE WHEN {table}."{self.by[0]}" IS NULL THEN 0 ELSE {column} END' if self.by else column

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
        columns = [f'g."{n}"' for n in self.by] + [f'{self.or_zero("s", n)} AS "{n}"' for n in self.sums]
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
    """Return the range before this one, and what its `time` is behind by: seconds, or with bucket=day days.

    Days are compared with as many local days, whatever hours these have: so its rows add up to its totals.
    """
    span = query.until - query.since
    if query.shape.bucket is not Bucket.DAY:
        if query.shape.bucket is Bucket.HOUR and span % 3600:
            raise bad_value("compare", "previous", "With bucket=hour the range must be whole hours.")
        if query.shape.bucket is Bucket.HOUR and TIME in query.shape.by:
            ahead = {ahead % 3600 for _, ahead in moment.offsets(query.since - span, query.until, tz)}
            if len(ahead) > 1:
                # No hour before would stand beside one of now, as if nothing had been.
                raise bad_value("compare", "previous", f"{tz.key} moves its hours by a part of one in that time.")
        return query.since - span, query.since, span
    days = moment.day_number(query.until - 1, tz) - moment.day_number(query.since, tz) + 1
    return _days_before(query.since, days, tz), _days_before(query.until, days, tz), days


def _days_before(at: int, days: int, tz: ZoneInfo) -> int:
    """Return the instant as far into a local day as this one is, so many days before: the day's end at most."""
    day = moment.day_number(at, tz)
    start, end = moment.day_start(day - days, tz), moment.day_start(day - days + 1, tz)
    return min(start + at - moment.day_start(day, tz), end)
