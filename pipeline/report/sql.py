"""From a Query to the one SQL statement that answers it: names from the catalog only, every value bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from pipeline.report import moment
from pipeline.report.hourly import HourlyWriter
from pipeline.report.problem import bad_value, too_large
from pipeline.report.query import Query
from pipeline.report.words import MOST_ROWS, TIME, Bucket, Compare, Fill
from pipeline.report.writer import before, bucket_starts

# First column of every row of the answer.
TOTALS, ROW, BEFORE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Statement:
    """What to ask SQLite.

    Its rows are (kind, number of rows, *by, *sums, *sums before if compared); one TOTALS row comes first.

    Attributes:
        text, values: the statement and what is bound to it.
        by: the first columns of a row.
        sums: the kept metrics of a row, in order; then those asked for that are no sums.
        before: the range compared with, or None.
    """

    text: str
    values: dict[str, str | int]
    by: tuple[str, ...]
    sums: tuple[str, ...]
    before: tuple[int, int] | None


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
    _check(query, moment.zone("tz", query.shape.tz))
    writer = HourlyWriter(query)
    names = [f'"{name}"' for name in writer.sums]
    blank = ["NULL"] * len(writer.by)
    compared = query.shape.compare is Compare.PREVIOUS
    nothing = ["NULL"] * len(names) if compared else []
    totals = writer.totals(query)
    source = writer.source(query)
    if query.shape.fill is Fill.ZERO and writer.by:
        tables = [f"s AS MATERIALIZED ({source})"]
        tables.append(f"t AS MATERIALIZED ({writer.grid(bucket_starts(query))})")
    else:
        tables = [f"t AS MATERIALIZED ({source})"]
    shown = [f't."{name}"' for name in (*writer.by, *writer.sums)]
    join, last, earlier = "", "", None
    if compared:
        since, until, later = before(query, writer.tz)
        earlier = replace(query, since=since, until=until)
        tables.append(f"p AS MATERIALIZED ({writer.source(earlier, later)})")
        shown += [writer.or_zero("p", name) for name in writer.sums]
        join = f" LEFT JOIN p ON {writer.joined('t', 'p')}"
        # With count(*) it is one row, whatever the totals are made of.
        whole = [str(BEFORE), "count(*)", *blank, *writer.totals(earlier), *nothing]
        last = f" UNION ALL SELECT {', '.join(whole)} FROM p"
    text = (
        f"WITH {', '.join(tables)} "
        f"SELECT {', '.join([str(TOTALS), 'count(*)', *blank, *totals, *nothing])} FROM t "
        f"UNION ALL SELECT * FROM (SELECT {', '.join([str(ROW), '0', *shown])} FROM t{join}"
        f"{writer.ordered(query.shape.order)} LIMIT :limit OFFSET :offset){last}"
    )
    compared_with = None if earlier is None else (earlier.since, earlier.until)
    return Statement(text, writer.values, writer.by, writer.sums, compared_with)
