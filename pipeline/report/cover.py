"""Which table answers what: sums add up over partitions, windows and values, sessions over partitions alone.

A session that comes in two windows, or under two values of a dimension, is in both of their rows. What says more over
a longer range is kept in the sets that the catalog marks: the audience of every 10 s in hour rows, for peaks; sketches
of who was there in rows of minutes and hours, for distinct sessions and users.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.catalog import SETS, WINDOWS, DimensionSet
from pipeline.report.pieces import MINUTE_S, Pieces, pieces_of
from pipeline.report.problem import bad_value
from pipeline.report.query import Query
from pipeline.report.schema import TABLES, Table
from pipeline.report.words import (
    DISTINCT_METRIC,
    METRIC,
    PARTNER,
    PEAK,
    TIME,
    WINDOW,
    Bucket,
    set_with,
    smallest,
    sums_of,
)
from pipeline.windows import HOUR_S

HOUR = next((window.name for window in WINDOWS if window.seconds == HOUR_S), "")
MINUTE = next((window.name for window in WINDOWS if window.seconds == MINUTE_S), "")


@dataclass(frozen=True, slots=True)
class Hours:
    """Which hour rows say what no sum can say.

    Attributes:
        rows: for the rows of an answer; None: it cannot be known.
        totals: for its totals; they may be in fewer dimensions, as those of all entries are their partner's.
    """

    rows: Table | None
    totals: Table | None


@dataclass(frozen=True, slots=True)
class Sketched:
    """Whose sketches say how many distinct ones there were in a range.

    Attributes:
        pieces: what the range is put together of.
        hours, minutes: the rows that say it of these; None: no such rows are kept, and none are needed.
    """

    pieces: Pieces
    hours: Table | None
    minutes: Table | None

    @property
    def tables(self) -> list[Table]:
        """Return the tables that are read."""
        wanted = ((self.hours, self.pieces.has_hours), (self.minutes, bool(self.pieces.cut)))
        return [table for table, is_read in wanted if table is not None and is_read]


@dataclass(frozen=True, slots=True)
class Estimates:
    """Whose sketches say it of the rows of an answer, and of its totals; None: it is known exactly, or not at all."""

    rows: Sketched | None
    totals: Sketched | None


NOTHING_ESTIMATED = Estimates(None, None)


def words_needed(query: Query) -> tuple[str, ...]:
    """Return the metrics that rows and their order show."""
    return (*query.shape.metrics, *(one.word for one in query.shape.order if one.word not in query.shape.by))


def sums_needed(query: Query) -> tuple[str, ...]:
    """Return the kept metrics that rows and their order are made of."""
    needed = {name for word in words_needed(query) for name in sums_of(word)}
    return tuple(name for name in METRIC if name in needed)


def beyond_sums(query: Query) -> frozenset[str]:
    """Return the metrics asked for that are no sums: hour rows say them, or nothing does."""
    return frozenset(word for word in words_needed(query) if word == PEAK or word in DISTINCT_METRIC.keys() - METRIC)


def _set_of(query: Query) -> DimensionSet:
    asked = frozenset({*query.shape.by, *dict(query.shape.filters)} - {TIME})
    found = set_with(asked, query.shape.window.name)
    if found is None:
        raise bad_value("by", ",".join(query.shape.by), "No rows know all of these dimensions together.")
    return found


def table_of(query: Query) -> Table:
    """Return the smallest table that knows every dimension asked for."""
    return TABLES[_set_of(query).name, query.shape.window.name]


def reads(query: Query, since: int) -> tuple[tuple[str, int], ...]:
    """Return the windows whose rows answer a query, each with the start of the block that holds `since`."""
    peaks = peaks_in(query)
    tables = [table_of(query)]
    tables += [] if peaks is None else [one for one in (peaks.rows, peaks.totals) if one is not None]
    for found in estimates_in(query).values():
        for source in (found.rows, found.totals):
            tables += [] if source is None else source.tables
    return tuple({one.window.name: since // one.block * one.block for one in tables}.items())


def blocks_of(query: Query, table: Table) -> range:
    """Return the blocks of a table that the range touches."""
    return range(query.since // table.block * table.block, query.until, table.block)


def blocks_with(hours: tuple[int, ...], table: Table) -> list[int]:
    """Return the blocks of a table that hours touch; hours by their start."""
    touched = {
        block for hour in hours for block in range(hour // table.block * table.block, hour + HOUR_S, table.block)
    }
    return sorted(touched)


def sessions_add_up(query: Query) -> tuple[bool, bool]:
    """Tell whether the sessions of a row, and of the totals, are counted once each.

    Only what is one window and one value of every dimension of the rows says how many sessions there were.
    """
    kept = _set_of(query)
    one_window = query.until - query.since <= query.shape.window.seconds
    by_window = TIME in query.shape.by and query.shape.bucket is Bucket.WINDOW
    rows = (one_window or by_window) and _is_one_value(query, kept, query.shape.by)
    return rows, one_window and _is_one_value(query, kept, ())


def _is_one_value(query: Query, kept: DimensionSet, by: tuple[str, ...]) -> bool:
    """Tell whether each group holds one value of every dimension of a set; partners have no session in common."""
    filters = dict(query.shape.filters)
    return all(name == PARTNER or name in by or len(filters.get(name, ())) == 1 for name in kept.dimensions)


def peaks_in(query: Query) -> Hours | None:
    """Return which hour rows say the largest audience of 10 s; None: it is not asked for."""
    if PEAK not in words_needed(query):
        return None
    sets = [one for one in SETS if one.peaks]
    filters = frozenset(dict(query.shape.filters))
    rows = smallest(filters | {*query.shape.by} - {TIME}, HOUR, sets)
    totals = None if _set_of(query).carried else smallest(filters, HOUR, sets)
    return Hours(
        TABLES[rows.name, HOUR] if rows and _is_one_value(query, rows, query.shape.by) else None,
        TABLES[totals.name, HOUR] if totals and _is_one_value(query, totals, ()) else None,
    )


def estimates_in(query: Query) -> dict[str, Estimates]:
    """Return whose sketches estimate the distinct ones asked for: those that are not known exactly."""
    asked = [name for name in DISTINCT_METRIC if name in words_needed(query)]
    if not asked:
        return {}
    rows, totals = sketched_rows(query), sketched_totals(query)
    found: dict[str, Estimates] = {}
    for name in asked:
        exact_rows, exact_totals = sessions_add_up(query) if name in METRIC else (False, False)
        one = Estimates(None if exact_rows else rows, None if exact_totals else totals)
        if one != NOTHING_ESTIMATED:
            found[name] = one
    return found


def sketched_rows(query: Query) -> Sketched | None:
    """Return whose sketches say how many distinct ones each row of an answer has."""
    return _sketched(query, frozenset({*query.shape.by, *dict(query.shape.filters)} - {TIME}), in_buckets=True)


def sketched_totals(query: Query) -> Sketched | None:
    """Return whose sketches say how many distinct ones a range has."""
    return None if _set_of(query).carried else _sketched(query, frozenset(dict(query.shape.filters)), in_buckets=False)


def _sketched(query: Query, dimensions: frozenset[str], *, in_buckets: bool) -> Sketched | None:
    """Return whose sketches say something of a range, or of each of its buckets."""
    pieces = pieces_of(query, in_buckets=in_buckets)
    if pieces is None:
        return None
    needed = ((HOUR,) if pieces.has_hours else ()) + ((MINUTE,) if pieces.cut else ())
    sets = [one for one in SETS if all(name in WINDOW and one.sketched(WINDOW[name]) for name in needed)]
    found = smallest(dimensions, needed[0], sets)
    return None if found is None else Sketched(pieces, *(TABLES.get((found.name, name)) for name in (HOUR, MINUTE)))
