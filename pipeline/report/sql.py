"""From a Query to the one SQL statement that answers it: names from the catalog only, every value bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import orjson

from pipeline.report import moment
from pipeline.report.problem import bad_value, too_large
from pipeline.report.query import Order, Query
from pipeline.report.schema import TABLES, Table
from pipeline.report.words import (
    DERIVED_METRIC,
    METRIC,
    MOST_ROWS,
    TIME,
    Bucket,
    Compare,
    Fill,
    set_with,
    sums_of,
)

# First column of every row of the answer.
TOTALS, ROW, BEFORE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Statement:
    """What to ask SQLite.

    Its rows are (kind, number of rows, *by, *sums, *sums before if compared); one TOTALS row comes first.

    Attributes:
        text, values: the statement and what is bound to it.
        by: the first columns of a row.
        sums: the kept metrics of a row, in order.
        before: the range compared with, or None.
    """

    text: str
    values: dict[str, str | int]
    by: tuple[str, ...]
    sums: tuple[str, ...]
    before: tuple[int, int] | None


def sums_needed(query: Query) -> tuple[str, ...]:
    """Return the kept metrics that rows and their order are made of."""
    words = (*query.shape.metrics, *(one.word for one in query.shape.order if one.word not in query.shape.by))
    needed = {name for word in words for name in sums_of(word)}
    return tuple(name for name in METRIC if name in needed)


def table_of(query: Query) -> Table:
    """Return the smallest table that knows every dimension asked for."""
    found = set_with(frozenset({*query.shape.by, *dict(query.shape.filters)} - {TIME}), query.shape.window.name)
    if found is None:
        raise bad_value("by", ",".join(query.shape.by), "No rows know all of these dimensions together.")
    return TABLES[found.name, query.shape.window.name]


def blocks_of(query: Query) -> range:
    """Return the blocks that the range touches."""
    size = table_of(query).block
    return range(query.since // size * size, query.until, size)


class _Writer:
    """Collects the parts of one statement and the values bound to it."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.shape = query.shape
        self.tz = moment.zone("tz", query.shape.tz)
        self.by = query.shape.by
        self.sums = sums_needed(query)
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

    def block(self, query: Query) -> str:
        blocks = blocks_of(query)
        if len(blocks) == 1:
            return f"block = {self.bind(blocks[0])}"
        return f"block IN (SELECT value FROM json_each({self.bind(orjson.dumps(list(blocks)).decode())}))"

    def time(self, query: Query) -> str:
        """Return the bucket of a row: its start, its local hour's start or its local day's number."""
        if self.shape.bucket is Bucket.WINDOW:
            return "start"
        runs = moment.offsets(query.since, query.until, self.tz)
        ahead = self.bind(runs[0][1])
        for since, following in runs[1:]:
            ahead = f"CASE WHEN start < {self.bind(since)} THEN {ahead} ELSE {self.bind(following)} END"
        if self.shape.bucket is Bucket.HOUR:
            return f"(start - (start + {ahead}) % 3600)"
        return f"((start + {ahead}) / 86400)"

    def grouped(self, query: Query, later: int = 0) -> str:
        """Return the rows of a range added up over partitions; `later` is added to their time."""
        table = table_of(query)
        conditions = [
            self.block(query),
            f"start >= {self.bind(query.since)} AND start < {self.bind(query.until)}",
            *(f'"{name}" {self.one_of(values)}' for name, values in self.shape.filters),
        ]
        columns = [f'{self.time(query)} + {self.bind(later)} AS "time"' if n == TIME else f'"{n}"' for n in self.by]
        columns += [f'coalesce(sum("{name}"), 0) AS "{name}"' for name in self.sums]
        group = f" GROUP BY {', '.join(str(n + 1) for n in range(len(self.by)))}" if self.by else ""
        where = " AND ".join(conditions)
        return f'SELECT {", ".join(columns)} FROM "{table.name}" WHERE {where}{group}'

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


def _check(query: Query, tz: ZoneInfo) -> None:
    shape = query.shape
    if shape.bucket is not Bucket.WINDOW:
        size = shape.window.seconds
        if any(ahead % size for _, ahead in moment.offsets(query.since, query.until, tz)):
            raise bad_value("tz", shape.tz, f"Hours of {shape.tz} are not whole windows of {shape.window.name}.")
    if shape.fill is Fill.ZERO:
        cells = len(bucket_starts(query)) if TIME in shape.by else 1
        for name in shape.by:
            cells *= 1 if name == TIME else len(dict(shape.filters)[name])
        if cells > MOST_ROWS:
            raise too_large(f"fill=zero would make {cells} rows, {MOST_ROWS} at most.")


def statement(query: Query) -> Statement:
    """Return the statement for a query; refuse what cannot be put together or costs too much."""
    writer = _Writer(query)
    _check(query, writer.tz)
    names = [f'"{name}"' for name in writer.sums]
    blank = ["NULL"] * len(writer.by)
    compared = query.shape.compare is Compare.PREVIOUS
    nothing = ["NULL"] * len(names) if compared else []
    totals = [f"coalesce(sum({name}), 0)" for name in names]
    source = writer.grouped(query)
    if query.shape.fill is Fill.ZERO and writer.by:
        tables = [f"s AS MATERIALIZED ({source})"]
        tables.append(f"t AS MATERIALIZED ({writer.grid(bucket_starts(query))})")
    else:
        tables = [f"t AS MATERIALIZED ({source})"]
    shown = [f't."{name}"' for name in (*writer.by, *writer.sums)]
    join, last, earlier = "", "", None
    if compared:
        since, until, later = before(query, writer.tz)
        earlier = (since, until)
        tables.append(f"p AS MATERIALIZED ({writer.grouped(replace(query, since=since, until=until), later)})")
        shown += [f'coalesce(p."{name}", 0)' for name in writer.sums]
        join = f" LEFT JOIN p ON {writer.joined('t', 'p')}"
        last = f" UNION ALL SELECT {', '.join([str(BEFORE), '0', *blank, *totals, *nothing])} FROM p"
    text = (
        f"WITH {', '.join(tables)} "
        f"SELECT {', '.join([str(TOTALS), 'count(*)', *blank, *totals, *nothing])} FROM t "
        f"UNION ALL SELECT * FROM (SELECT {', '.join([str(ROW), '0', *shown])} FROM t{join}"
        f"{writer.ordered(query.shape.order)} LIMIT :limit OFFSET :offset){last}"
    )
    return Statement(text, writer.values, writer.by, writer.sums, earlier)
