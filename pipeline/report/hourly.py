"""The part of an answer's SQL for what no sum says: peaks of hour rows, distinct sessions and users out of sketches.

Its functions slots_sum, slots_most and sketch_count are those of pipeline.report.slots and pipeline.report.distinct.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import orjson

from pipeline.catalog import DISTINCT
from pipeline.report import moment
from pipeline.report.cover import Sketched, estimates_in, peaks_in, sketched_rows, sketched_totals
from pipeline.report.distinct import UNKNOWN
from pipeline.report.query import Query
from pipeline.report.schema import Table, sketch_column
from pipeline.report.words import PEAK, TIME, Bucket
from pipeline.report.writer import Writer
from pipeline.windows import HOUR_S


class HourlyWriter(Writer):
    """Puts what hour rows and sketches say beside the sums."""

    def __init__(self, query: Query) -> None:
        super().__init__(query)
        self.peaks = peaks_in(query)
        self.estimates = estimates_in(query)

    def source(self, query: Query, later: int = 0) -> str:
        """Return the rows of a range, partitions added up; `later` is added to their time."""
        beside = self._beside(query, later)
        if self.sums == self.kept and not beside:
            return self.grouped(query, later)
        columns = [f'r."{name}"' for name in self.by]
        for name in self.sums:
            is_sum = name in self.kept and name not in beside
            found = f'{name}."{name}"' if beside.get(name) else f'r."{name}"' if is_sum else "NULL"
            columns.append(f'{found} AS "{name}"')
        joins = " ".join(
            f"LEFT JOIN ({text}) {name} ON {self.joined('r', name)}" for name, text in beside.items() if text
        )
        return f"SELECT {', '.join(columns)} FROM ({self.grouped(query, later)}) r {joins}"

    def _beside(self, query: Query, later: int) -> dict[str, str | None]:
        """Return by metric what says it of each row; None: nothing does.

        The period before may have no sketches that fit, where a clock was changed meanwhile by a part of a minute.
        """
        found: dict[str, str | None] = {}
        if self.peaks is not None and self.peaks.rows is not None:
            found[PEAK] = self._peaks(query, self.peaks.rows, later)
        for name, estimates in self.estimates.items():
            if estimates.rows is not None:
                sketched = sketched_rows(query)
                found[name] = None if sketched is None else self._count(query, sketched, name, later) + self.group()
        return found

    def totals(self, query: Query) -> list[str]:
        """Return the columns of the totals over the rows of a range."""
        return [self._total(query, name) for name in self.sums]

    def _total(self, query: Query, name: str) -> str:
        beside = self.peaks if name == PEAK else self.estimates.get(name)
        if beside is None or beside.totals is None:
            return f'coalesce(sum("{name}"), 0)' if name in self.kept else "NULL"
        if beside.rows == beside.totals and self._is_one_group(over_time=name == PEAK):
            return f'CASE count(*) WHEN 0 THEN 0 ELSE max("{name}") END'
        if isinstance(beside.totals, Table):
            return f"(SELECT {self._most(query, '0', HOUR_S)} FROM ({self._hours(query, beside.totals, [])}))"
        sketched = sketched_totals(query)
        return "NULL" if sketched is None else f"({self._count(query, sketched, name)})"

    def _is_one_group(self, *, over_time: bool) -> bool:
        """Tell whether the rows say what the totals are: there is one, or (of a peak) one an instant."""
        filters = dict(self.shape.filters)
        return all(over_time if name == TIME else len(filters.get(name, ())) == 1 for name in self.by)

    def _count(self, query: Query, sketched: Sketched, name: str, later: int | None = None) -> str:
        """Return how many distinct ones the sketches of a range have seen; null where a row has none.

        `later`: with the columns of `by` in front, that much added to their time.
        """
        columns = [] if later is None else self.columns(query, later, "(start + 0)")
        columns += [f'"{sketch_column(name)}" AS sketch', f'"{DISTINCT[0].name}" AS counted']
        rows = " UNION ALL ".join(
            f'SELECT {", ".join(columns)} FROM "{table.name}" WHERE {self._pieces(query, sketched, table)}'
            for table in sketched.tables
        )
        groups = [] if later is None else [f'"{one}"' for one in self.by]
        count = f'nullif(coalesce(sketch_count(sketch, counted), 0), {UNKNOWN}) AS "{name}"'
        return f"SELECT {', '.join((*groups, count))} FROM ({rows})"

    def _pieces(self, query: Query, sketched: Sketched, table: Table) -> str:
        """Return which rows of a table are pieces of a range."""
        pieces = sketched.pieces
        cut = f"(SELECT value FROM json_each({self.bind(orjson.dumps(list(pieces.cut)).decode())}))"
        if table == sketched.hours:
            return f"{self.where(replace(query, since=pieces.since, until=pieces.until), table)} AND start NOT IN {cut}"
        return f"{self.where(query, table, pieces.cut)} AND start - start % {HOUR_S} IN {cut}"

    def _peaks(self, query: Query, table: Table, later: int) -> str:
        """Return the peak of each row, out of the slots of hour rows: partitions first, then the largest sum.

        Where hours are cut into shorter buckets, each hour is looked at piece by piece.
        """
        size = self._piece(query)
        pieces = orjson.dumps(list(range(0, HOUR_S, size))).decode()
        dimensions = [f'"{name}"' for name in self.by if name != TIME]
        columns = ", ".join((*self.columns(query, later, "(hour + piece)"), self._most(query, "piece", size)))
        hours = self._hours(query, table, dimensions)
        cut = f"(SELECT value AS piece FROM json_each({self.bind(pieces)}))"
        return f"SELECT {columns} FROM ({hours}) CROSS JOIN {cut}{self.group()}"

    def _piece(self, query: Query) -> int:
        """Return the seconds of an hour that surely are in one bucket together."""
        if TIME not in self.by:
            return HOUR_S
        if self.shape.bucket is Bucket.WINDOW:
            return min(HOUR_S, self.shape.window.seconds)
        return gcd(HOUR_S, *(ahead for _, ahead in moment.offsets(query.since, query.until, self.tz)))

    def _hours(self, query: Query, table: Table, dimensions: list[str]) -> str:
        """Return the slots of every hour that a range touches, added up over partitions."""
        whole = replace(query, since=query.since // HOUR_S * HOUR_S)
        grouped = ", ".join(("start", *dimensions))
        return (
            f'SELECT {", ".join(("start AS hour", *dimensions))}, slots_sum(slots) AS slots FROM "{table.name}" '
            f"WHERE {self.where(whole, table)} AND slots IS NOT NULL GROUP BY {grouped}"
        )

    def _most(self, query: Query, begin: str, seconds: int) -> str:
        """Return the largest sum of the slots in a part of an hour, as far as it is in the range."""
        since, until = self.bind(query.since), self.bind(query.until)
        part = f"max({begin}, {since} - hour), min({begin} + {seconds}, {until} - hour)"
        return f'max(slots_most(slots, {part})) AS "{PEAK}"'
