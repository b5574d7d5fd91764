"""Out of which windows a longer range is put together, where only whole ones say something: hours, then minutes. Pure.

    range          10:40 |                                      | 13:20
    taken    20 minutes  |  11:00 the hour  |  12:00 the hour   | 20 minutes

What is kept of an hour says nothing of a part of it. So hours that the range cuts, or that two buckets of an answer
share, as local days do east of Iran, are put together of their minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report import moment
from pipeline.report.query import Query
from pipeline.report.words import TIME, Bucket
from pipeline.windows import HOUR_S

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Pieces:
    """What a range is put together of, each piece within one bucket.

    Attributes:
        since, until: the hours within are taken whole, Unix seconds; none where they are equal.
        cut: starts of the hours that are taken in minutes, in the range or at its edges.
    """

    since: int
    until: int
    cut: tuple[int, ...]

    @property
    def has_hours(self) -> bool:
        """Tell whether any hour is taken whole; a range of nothing is one of hours."""
        cut = sum(self.since <= hour < self.until for hour in self.cut)
        return not self.cut or (self.until - self.since) // HOUR_S > cut


def pieces_of(query: Query, *, in_buckets: bool) -> Pieces | None:
    """Return the pieces of a query's range, or of its buckets; None: some of these hold a part of a minute."""
    since, until = query.since, query.until
    first, last = -(-since // HOUR_S) * HOUR_S, until // HOUR_S * HOUR_S
    shared = _shared(query) if in_buckets and TIME in query.shape.by else ()
    if since % MINUTE_S or until % MINUTE_S or shared is None:
        return None
    edges = ({since // HOUR_S * HOUR_S} if since < first else set()) | ({last} if last < until else set())
    return Pieces(first, max(first, last), tuple(sorted(edges.union(shared))))


def _shared(query: Query) -> tuple[int, ...] | None:
    """Return the starts of the hours that more than one bucket has a part of; None: buckets share minutes."""
    hours = range(query.since // HOUR_S * HOUR_S, query.until, HOUR_S)
    if query.shape.bucket is Bucket.WINDOW:
        size = query.shape.window.seconds
        return None if size % MINUTE_S else () if size % HOUR_S == 0 else tuple(hours)
    runs = moment.offsets(query.since, query.until, moment.zone("tz", query.shape.tz))
    if any(ahead % MINUTE_S for _, ahead in runs):
        return None
    if not any(ahead % HOUR_S for _, ahead in runs):
        return ()
    if query.shape.bucket is Bucket.HOUR:
        return tuple(hours)
    return tuple(hour for hour in hours if _day(hour, runs) != _day(hour + HOUR_S - 1, runs))


def _day(instant: int, runs: list[tuple[int, int]]) -> int:
    """Return the local day of an instant."""
    ahead = next((ahead for since, ahead in reversed(runs) if since <= instant), runs[0][1])
    return (instant + ahead) // 86_400
