"""The part of an answer's SQL that reads hour rows, for what no sum says: peaks, and distinct sessions and users.

Its functions slots_sum, slots_most and sketch_count are those of pipeline.report.slots and pipeline.report.distinct.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import orjson

from pipeline.catalog import DISTINCT
from pipeline.report import moment
from pipeline.report.cover import estimates_in, peaks_in
from pipeline.report.distinct import UNKNOWN
from pipeline.report.query import Query
from pipeline.report.schema import Table, sketch_column
from pipeline.report.words import PEAK, TIME, Bucket
from pipeline.report.writer import Writer
from pipeline.windows import HOUR_S


class HourlyWriter(Writer):
    """Puts what hour rows say beside the sums."""

    def __init__(self, query: Query) -> None:
        super().__init__(query)
        self.peaks = peaks_in(query)
        self.estimates = estimates_in(query)

    def source(self, query: Query, later: int = 0) -> str:
        """Return the rows of a range, partitions added up; `later` is added to their time."""
        joined = {name: f"({text})" for name, text in self._beside(query, later).items()}
        if self.sums == self.kept and not joined:
            return self.grouped(query, later)
        columns = [f'r."{name}"' for name in self.by]
        for name in self.sums:
            found = "NULL" if name not in self.kept else f'r."{name}"'
            columns.append(f'{name}."{name}"' if name in joined else f'{found} AS "{name}"')
        joins = " ".join(f"LEFT JOIN {text} {name} ON {self.joined('r', name)}" for name, text in joined.items())
        return f"SELECT {', '.join(columns)} FROM ({self.grouped(query, later)}) r {joins}"

    def _beside(self, query: Query, later: int) -> dict[str, str]:
        """Return by metric what says it of each row."""
        found = {}
        if self.peaks is not None and self.peaks.rows is not None:
            found[PEAK] = self._peaks(query, self.peaks.rows, later)
        for name, hours in self.estimates.items():
            if hours.rows is not None:
                columns = self.columns(query, later, "(start + 0)")
                found[name] = self._count(query, hours.rows, name, columns) + self.group()
        return found

    def totals(self, query: Query) -> list[str]:
        """Return the columns of the totals over the rows of a range."""
        return [self._total(query, name) for name in self.sums]

    def _total(self, query: Query, name: str) -> str:
        hours = self.peaks if name == PEAK else self.estimates.get(name)
        if hours is None or hours.totals is None:
            return f'coalesce(sum("{name}"), 0)' if name in self.kept else "NULL"
        if hours.rows == hours.totals and self._is_one_group(over_time=name == PEAK):
            return f'CASE count(*) WHEN 0 THEN 0 ELSE max("{name}") END'
        if name == PEAK:
            return f"(SELECT {self._most(query, '0', HOUR_S)} FROM ({self._hours(query, hours.totals, [])}))"
        return f"({self._count(query, hours.totals, name, [])})"

    def _is_one_group(self, *, over_time: bool) -> bool:
        """Tell whether the rows say what the totals are: there is one, or (of a peak) one an instant."""
        filters = dict(self.shape.filters)
        return all(over_time if name == TIME else len(filters.get(name, ())) == 1 for name in self.by)

    def _count(self, query: Query, table: Table, name: str, columns: list[str]) -> str:
        """Return how many distinct ones the sketches of a range have seen; null where a row has none.

        The period before may begin within an hour, where a clock was changed by half of one: nothing is known of it.
        """
        seen = f'sketch_count("{sketch_column(name)}", "{DISTINCT[0].name}")'
        is_whole = query.since % HOUR_S == query.until % HOUR_S == 0
        count = f"nullif(coalesce({seen}, 0), {UNKNOWN})" if is_whole else "NULL"
        columns = [*columns, f'{count} AS "{name}"']
        return f'SELECT {", ".join(columns)} FROM "{table.name}" WHERE {self.where(query, table)}'

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
