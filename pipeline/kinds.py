"""What the lines of the catalog are made of: metrics, windows, dimensions, sets, derived metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Adds(StrEnum):
    """What one event adds to a metric."""

    ONE = "one"  # one, whatever it says
    VALUE = "value"  # the parameter's value, where that is a usable number
    HAVING = "having"  # one, where the parameter is a usable number above zero
    LACKING = "lacking"  # one, where the parameter is absent or says "before the first frame" (1 or 3)
    SESSION = "session"  # one for each session that has such an event in the row's window
    WATCHED = "watched"  # what playTimeSum grew by since the segment's event before


@dataclass(frozen=True, slots=True)
class Metric:
    """A number kept in every row: rows of partitions, and of windows unless it counts sessions, add up.

    Attributes:
        name: its word in rows, report and page.
        types: the event types that add to it; empty: every type.
        parameter: the beacon parameter that it reads; None: none.
        unit: of the stored integer: "events", "sessions", "ms" or "kbps". The report shows ms as seconds,
            three decimals.
        says: one sentence for people.
        adds: what one event adds.
    """

    name: str
    types: tuple[int, ...]
    parameter: str | None
    unit: str
    says: str
    adds: Adds = Adds.ONE


def count(name: str, *types: int, says: str) -> Metric:
    """Return a metric that counts events of these types."""
    return Metric(name, types, None, "events", says)


def seconds(name: str, parameter: str, *types: int, says: str) -> Metric:
    """Return a metric that sums a parameter given in seconds, kept in whole milliseconds."""
    return Metric(name, types, parameter, "ms", says, Adds.VALUE)


def kbps(name: str, parameter: str, *types: int, says: str) -> Metric:
    """Return a metric that sums a bitrate, in whole kbit/s."""
    return Metric(name, types, parameter, "kbps", says, Adds.VALUE)


def having(name: str, parameter: str, *types: int, says: str) -> Metric:
    """Return a metric that counts events whose parameter is a number above zero."""
    return Metric(name, types, parameter, "events", says, Adds.HAVING)


def sessions(name: str, *types: int, says: str) -> Metric:
    """Return a metric that counts the sessions with such an event in the row's window, exactly."""
    return Metric(name, types, None, "sessions", says, Adds.SESSION)


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value that a session metric had in one of the finest windows, over any range.

    Partitions are added up window by window before the largest is taken. Hour rows of sets with `peaks` keep what it
    needs, so it outlives the rows of the finest window.

    Attributes:
        name: its word in the report and on the page.
        of: the session metric.
        unit: that people see.
        says: one sentence for people.
    """

    name: str
    of: str
    unit: str
    says: str


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many distinct ones there were over any range of whole minutes, estimated from sketches.

    Rows of sets with `sketches` keep one; see pipeline.sketch for its error.

    Attributes:
        name: its word in the report and on the page. Where it is a session metric's too, that says one window exactly.
        dimension: whose values are counted, in lines that keep it in some set; sessions without a value (anonymous
            viewers) count one each. None: sessions are counted.
        unit: that people see.
        says: one sentence for people.
    """

    name: str
    dimension: str | None
    unit: str
    says: str


@dataclass(frozen=True, slots=True)
class Window:
    """A tumbling window [start, start + seconds) by ingest's receive time; start is a multiple of seconds.

    Attributes:
        name: its word in rows and in the report's `window=`.
        seconds: its size.
        keep_seconds: how long after its end a row is kept, at least.
    """

    name: str
    seconds: int
    keep_seconds: int


@dataclass(frozen=True, slots=True)
class Dimension:
    """A word to count by.

    Attributes:
        name: its word in row keys and in the report's `by`.
        source: where its value comes from: "parameter" (its own name), or the reader of pipeline/enrich that
            gives it: "agent", "referrer", "address", "user".
        says: one sentence for people.
    """

    name: str
    source: str
    says: str


@dataclass(frozen=True, slots=True)
class DimensionSet:
    """Rows are kept once per distinct value of these dimensions together.

    Attributes:
        name: its word in row keys.
        dimensions: names in key order; the first is always partnerId.
        windows: the windows it is kept in; empty: all.
        carried: only events that carry all of these dimensions count here.
        peaks: hour rows keep the audience of each of their 10 s windows, for peaks.
        sketches: the windows whose rows keep sketches of their sessions (and users), for distinct ones over longer
            ranges: hours for ranges of whole hours, minutes too for what begins or ends within an hour.
        most: rows per partner and window in one partition; further values share one row, `(other)`.
    """

    name: str
    dimensions: tuple[str, ...]
    windows: tuple[str, ...] = ()
    carried: bool = False
    peaks: bool = False
    sketches: tuple[str, ...] = ()
    most: int = 50_000

    def keeps(self, window: Window) -> bool:
        """Tell whether it is kept in a window."""
        return not self.windows or window.name in self.windows

    def sketched(self, window: Window) -> bool:
        """Tell whether its rows of a window keep sketches."""
        return window.name in self.sketches and self.keeps(window)


def by(name: str, *dimensions: str, windows: str = "", carried: bool = False, most: int = 50_000) -> DimensionSet:
    """Return the set of the partner and these dimensions."""
    return DimensionSet(name, ("partnerId", *dimensions), tuple(windows.split()), carried, most=most)


@dataclass(frozen=True, slots=True)
class Derived:
    """A number worked out of a row's sums when it is asked for; nothing of it is kept.

    Its value is sum(over) / (sum(under) x per); null where sum(under) is 0; without under, sum(over) / per.

    Attributes:
        name: its word in the report and on the page.
        over: (factor, metric) terms, in the metrics' stored units.
        under: the same; empty: divided by `per` alone.
        per: a fixed divisor, for units.
        unit: "ratio", "s" or "min".
        says: one sentence for people.
    """

    name: str
    over: tuple[tuple[int, str], ...]
    under: tuple[tuple[int, str], ...]
    per: int
    unit: str
    says: str


def ratio(name: str, over: str, under: str, *, less: str = "", per: int = 1, unit: str = "ratio", says: str) -> Derived:
    """Return (over - less) / (under x per)."""
    terms = ((1, over), (-1, less)) if less else ((1, over),)
    return Derived(name, terms, ((1, under),), per, unit, says)
