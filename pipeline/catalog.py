"""The one place that says what is counted: event types, metrics, dimension sets, windows.

Adding a metric, a set, a window or an event type is one line here; rows, report, page, OpenAPI and
tests follow from it. A line is added or removed, never edited: a changed window size is a new window.
The price of a line: rows per event = windows x sets; see README, "What a row costs".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class EventType(IntEnum):
    """Event types of `service=analytics` (seed, features.md section 7; protocol.md section 2)."""

    IMPRESSION = 1
    PLAY_REQUEST = 2
    PLAY = 3
    RESUME = 4
    QUARTILE_25 = 11
    QUARTILE_50 = 12
    QUARTILE_75 = 13
    QUARTILE_100 = 14
    SHARE_CLICKED = 21
    SHARED = 22
    PAUSE = 33
    REPLAY = 34
    SEEK = 35
    ERROR = 98
    VIEW = 99


@dataclass(frozen=True, slots=True)
class Metric:
    """A number kept in every row.

    Attributes:
        name: its word in rows, report and page.
        types: the event types that add to it.
        parameter: the beacon parameter (seconds) whose value is added as whole milliseconds;
            None: each event adds one.
        unit: of the stored integer: "events" or "ms". The report shows ms as seconds, three decimals.
        says: one sentence for people.
    """

    name: str
    types: tuple[EventType, ...]
    parameter: str | None
    unit: str
    says: str


def count(name: str, *types: EventType, says: str) -> Metric:
    """Return a metric that counts events of these types."""
    return Metric(name, types, None, "events", says)


def seconds(name: str, parameter: str, *types: EventType, says: str) -> Metric:
    """Return a metric that sums a parameter given in seconds, kept in whole milliseconds."""
    return Metric(name, types, parameter, "ms", says)


METRICS: tuple[Metric, ...] = (
    count("plays", EventType.PLAY, says="Media started (event 3); replays are not plays."),
    count("views", EventType.VIEW, says="View events (99): one at the start, then one per 10 s watched."),
    # Over 99 only: events 3 and 4 repeat the seconds that the next 99 reports (protocol.md section 8, seen).
    seconds("bufferTime", "bufferTime", EventType.VIEW, says="Time spent buffering, summed over views."),
    count("impressions", EventType.IMPRESSION, says="Player loaded a media (event 1)."),
    count("playRequests", EventType.PLAY_REQUEST, says="Play was asked for (event 2)."),
    count("resumes", EventType.RESUME, says="Playing went on after a pause (event 4)."),
    count("pauses", EventType.PAUSE, says="Pause clicked (event 33)."),
    count("replays", EventType.REPLAY, says="Media played again from its end (event 34)."),
    count("seeks", EventType.SEEK, says="Jumped to another position (event 35)."),
    count("quartile25", EventType.QUARTILE_25, says="Position passed 25 % (event 11), by seek too."),
    count("quartile50", EventType.QUARTILE_50, says="Position passed 50 % (event 12), by seek too."),
    count("quartile75", EventType.QUARTILE_75, says="Position passed 75 % (event 13), by seek too."),
    count("quartile100", EventType.QUARTILE_100, says="Position reached the end (event 14), by seek too."),
    count("shares", EventType.SHARED, says="Shared to a network (event 22)."),
    count("errors", EventType.ERROR, says="Player error (event 98)."),
)


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


WINDOWS: tuple[Window, ...] = (
    Window("10s", 10, 6 * 3600),
    Window("1m", 60, 7 * 86400),
    Window("1h", 3600, 400 * 86400),
)


@dataclass(frozen=True, slots=True)
class DimensionSet:
    """Rows are kept once per distinct value of these dimensions together.

    Attributes:
        name: its word in row keys.
        dimensions: names in key order; the first is always partnerId.
    """

    name: str
    dimensions: tuple[str, ...]


SETS: tuple[DimensionSet, ...] = (
    DimensionSet("partner", ("partnerId",)),
    DimensionSet("entry", ("partnerId", "entryId")),
)


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


DERIVED: tuple[Derived, ...] = (
    ratio("playRate", "plays", "impressions", says="Plays for each impression."),
    ratio("bufferPerView", "bufferTime", "views", per=1000, unit="s", says="Buffer seconds per view."),
    ratio("bufferingRatio", "bufferTime", "views", per=10_000, says="Part of watched time spent buffering."),
    Derived("minutesWatched", ((10, "views"),), (), 60, "min", says="Views x 10 s, in minutes."),
    ratio("completionRate", "quartile100", "plays", says="Plays that reached the end (by seek too)."),
    ratio("dropOff25", "plays", "plays", less="quartile25", says="Lost before 25 %, of plays."),
    ratio("dropOff50", "quartile25", "quartile25", less="quartile50", says="Lost between 25 % and 50 %."),
    ratio("dropOff75", "quartile50", "quartile50", less="quartile75", says="Lost between 50 % and 75 %."),
    ratio("dropOff100", "quartile75", "quartile75", less="quartile100", says="Lost after 75 %."),
)
