"""The one place that says what is counted: event types, metrics, dimension sets, windows.

Adding a metric, a set, a window or an event type is one line here; rows, report, page, OpenAPI and
tests follow from it. A line is added or removed, never edited: a changed window size is a new window.
The price of a line: rows per event = windows x sets; see README, "What a row costs".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class EventType(IntEnum):
    """Event types of `service=analytics` (seed, features.md section 7; protocol.md section 2).

    A number that is not here is counted by its number, as metric `event<number>`.
    """

    IMPRESSION = 1
    PLAY_REQUEST = 2
    PLAY = 3
    RESUME = 4
    QUARTILE_25 = 11
    QUARTILE_50 = 12
    QUARTILE_75 = 13
    QUARTILE_100 = 14
    REACHED_90 = 15
    SHARE_CLICKED = 21
    SHARED = 22
    DOWNLOAD = 23
    REPORT_CLICKED = 24
    REPORTED = 25
    ENTER_FULLSCREEN = 31
    EXIT_FULLSCREEN = 32
    PAUSE = 33
    REPLAY = 34
    SEEK = 35
    RELATED_CLICKED = 36
    RELATED_SELECTED = 37
    CAPTIONS = 38
    SOURCE_SELECTED = 39
    INFO = 40
    SPEED = 41
    AUDIO_SELECTED = 42
    FLAVOR_SWITCH = 43
    BUFFER_START = 45
    BUFFER_END = 46
    ERROR = 98
    VIEW = 99
    BUTTON_CLICKED = 10002
    PAGE_LOAD = 10003


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
    types: tuple[EventType, ...]
    parameter: str | None
    unit: str
    says: str
    adds: Adds = Adds.ONE


def count(name: str, *types: EventType, says: str) -> Metric:
    """Return a metric that counts events of these types."""
    return Metric(name, types, None, "events", says)


def seconds(name: str, parameter: str, *types: EventType, says: str) -> Metric:
    """Return a metric that sums a parameter given in seconds, kept in whole milliseconds."""
    return Metric(name, types, parameter, "ms", says, Adds.VALUE)


def kbps(name: str, parameter: str, *types: EventType, says: str) -> Metric:
    """Return a metric that sums a bitrate, in whole kbit/s."""
    return Metric(name, types, parameter, "kbps", says, Adds.VALUE)


def having(name: str, parameter: str, *types: EventType, says: str) -> Metric:
    """Return a metric that counts events whose parameter is a number above zero."""
    return Metric(name, types, parameter, "events", says, Adds.HAVING)


def sessions(name: str, *types: EventType, says: str) -> Metric:
    """Return a metric that counts the sessions with such an event in the row's window, exactly."""
    return Metric(name, types, None, "sessions", says, Adds.SESSION)


METRICS: tuple[Metric, ...] = (
    count("plays", EventType.PLAY, says="Media started (event 3); replays are not plays."),
    count("views", EventType.VIEW, says="View events (99): one at the start, then one per 10 s watched."),
    # Over 99 only: events 3 and 4 repeat the seconds that the next 99 reports (protocol.md section 8, seen).
    seconds("bufferTime", "bufferTime", EventType.VIEW, says="Time spent buffering, summed over views."),
    having("bufferedViews", "bufferTime", EventType.VIEW, says="Views that buffered."),
    # The KAVA player says 0 or -1 where it does not know (protocol.md section 3).
    kbps("bitrateSum", "actualBitrate", EventType.VIEW, says="Bitrates of the views that say one, added up."),
    having("bitrateViews", "actualBitrate", EventType.VIEW, says="Views that say a bitrate."),
    seconds("joinTime", "joinTime", EventType.PLAY, says="Time from play request to first frame, added up."),
    having("joinedPlays", "joinTime", EventType.PLAY, says="Plays that say a join time."),
    Metric("watchedTime", (), "playTimeSum", "ms", "Time watched, by each segment's own clock.", Adds.WATCHED),
    sessions("sessions", says="Sessions with any event in the window."),
    sessions("audience", EventType.VIEW, says="Sessions that watched in the window."),
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
    count("reached90", EventType.REACHED_90, says="Position passed 90 % (event 15), newer players only."),
    count("shareClicks", EventType.SHARE_CLICKED, says="Share clicked (event 21)."),
    count("shares", EventType.SHARED, says="Shared to a network (event 22)."),
    count("downloads", EventType.DOWNLOAD, says="Download clicked (event 23)."),
    count("reportClicks", EventType.REPORT_CLICKED, says="Report content clicked (event 24)."),
    count("contentReports", EventType.REPORTED, says="Report of content submitted (event 25)."),
    count("fullscreenEnters", EventType.ENTER_FULLSCREEN, says="Went to full screen (event 31)."),
    count("fullscreenExits", EventType.EXIT_FULLSCREEN, says="Left full screen (event 32)."),
    count("relatedClicks", EventType.RELATED_CLICKED, says="Related clicked (event 36)."),
    count("relatedSelects", EventType.RELATED_SELECTED, says="Related media selected (event 37)."),
    count("captionSelects", EventType.CAPTIONS, says="Captions chosen (event 38)."),
    count("sourceSelects", EventType.SOURCE_SELECTED, says="Source chosen (event 39)."),
    count("infoClicks", EventType.INFO, says="Info clicked (event 40)."),
    count("speedChanges", EventType.SPEED, says="Playback speed changed (event 41)."),
    count("audioSelects", EventType.AUDIO_SELECTED, says="Audio track chosen (event 42)."),
    count("flavorSwitches", EventType.FLAVOR_SWITCH, says="Bitrate switched (event 43)."),
    count("bufferStarts", EventType.BUFFER_START, says="Buffering began (event 45)."),
    count("bufferEnds", EventType.BUFFER_END, says="Buffering ended (event 46)."),
    count("errors", EventType.ERROR, says="Player error (event 98)."),
    Metric(
        "errorsBeforeStart",
        (EventType.ERROR,),
        "errorPosition",
        "events",
        "Player errors before the first frame.",
        Adds.LACKING,
    ),
    count("buttonClicks", EventType.BUTTON_CLICKED, says="Button of the application clicked (event 10002)."),
    count("pageLoads", EventType.PAGE_LOAD, says="Page of the application loaded (event 10003)."),
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


DIMENSIONS: tuple[Dimension, ...] = (
    Dimension("partnerId", "parameter", "The account."),
    Dimension("entryId", "parameter", "The content."),
    Dimension("playbackType", "parameter", "live, dvr or vod."),
    Dimension("deliveryType", "parameter", "hls, dash, url ..."),
    Dimension("application", "parameter", "The application around the player."),
    Dimension("playbackContext", "parameter", "Category id of the playback."),
    Dimension("customVar1", "parameter", "The partner's own."),
    Dimension("customVar2", "parameter", "The partner's own."),
    Dimension("customVar3", "parameter", "The partner's own."),
    Dimension("uiConfId", "parameter", "Player configuration."),
    Dimension("clientVer", "parameter", "Player version."),
    Dimension("errorCode", "parameter", "Of a player error."),
    Dimension("domain", "referrer", "Host of the page."),
    Dimension("page", "referrer", "Host and path of the page, lower-case host, no query."),
    Dimension("device", "agent", "desktop, mobile, tablet, tv, console, bot or unknown."),
    Dimension("operatingSystem", "agent", "Family of the operating system."),
    Dimension("browser", "agent", "Family of the browser."),
    Dimension("bot", "agent", "yes or no."),
    Dimension("country", "address", "ISO code; unknown without a database."),
    Dimension("region", "address", "First subdivision; unknown without a database."),
    Dimension("city", "address", "Name; unknown without a database."),
    Dimension("network", "address", "Autonomous system; unknown without a database."),
    Dimension("user", "user", "Keyed hash of the verified or given user; empty: anonymous."),
)


@dataclass(frozen=True, slots=True)
class DimensionSet:
    """Rows are kept once per distinct value of these dimensions together.

    Attributes:
        name: its word in row keys.
        dimensions: names in key order; the first is always partnerId.
        windows: the windows it is kept in; empty: all.
        carried: only events that carry all of these dimensions count here.
        peaks: hour rows keep the audience of each of their 10 s windows, for peaks.
        most: rows per partner and window in one partition; further values share one row, `(other)`.
    """

    name: str
    dimensions: tuple[str, ...]
    windows: tuple[str, ...] = ()
    carried: bool = False
    peaks: bool = False
    most: int = 50_000


def by(name: str, *dimensions: str, windows: str = "", carried: bool = False, most: int = 50_000) -> DimensionSet:
    """Return the set of the partner and these dimensions."""
    return DimensionSet(name, ("partnerId", *dimensions), tuple(windows.split()), carried, most=most)


SETS: tuple[DimensionSet, ...] = (
    DimensionSet("partner", ("partnerId",), peaks=True),
    DimensionSet("entry", ("partnerId", "entryId"), peaks=True),
    DimensionSet("playbackType", ("partnerId", "playbackType"), peaks=True, most=20),
    DimensionSet("entryPlaybackType", ("partnerId", "entryId", "playbackType"), ("10s", "1h"), peaks=True),
    by("device", "device", "operatingSystem", windows="1m 1h", most=1_000),
    by("browser", "browser", windows="1m 1h", most=1_000),
    by("country", "country", windows="1m 1h", most=300),
    by("entryCountry", "entryId", "country", windows="1h"),
    by("domain", "domain", windows="1m 1h", most=5_000),
    by("entryDomain", "entryId", "domain", windows="1h"),
    by("version", "clientVer", windows="1h", most=1_000),
    by("error", "errorCode", windows="1m 1h", carried=True, most=1_000),
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
    ratio("averageBitrate", "bitrateSum", "bitrateViews", unit="kbps", says="Of the views that say a bitrate."),
    ratio("averageJoinTime", "joinTime", "joinedPlays", per=1000, unit="s", says="Of the plays that say one."),
    ratio("bufferedViewRate", "bufferedViews", "views", says="Part of views that buffered."),
    Derived("bufferPerMinute", ((6, "bufferTime"),), ((1, "views"),), 1000, "s", "Buffer seconds per viewed minute."),
    ratio("averageViewDuration", "watchedTime", "plays", per=60_000, unit="min", says="Time watched per play."),
    Derived(
        "exitsBeforeStart",
        ((1, "playRequests"), (-1, "plays"), (-1, "errorsBeforeStart")),
        (),
        1,
        "events",
        "Play requests that led to neither a play nor an error.",
    ),
    ratio("completionRate", "quartile100", "plays", says="Plays that reached the end (by seek too)."),
    ratio("dropOff25", "plays", "plays", less="quartile25", says="Lost before 25 %, of plays."),
    ratio("dropOff50", "quartile25", "quartile25", less="quartile50", says="Lost between 25 % and 50 %."),
    ratio("dropOff75", "quartile50", "quartile50", less="quartile75", says="Lost between 50 % and 75 %."),
    ratio("dropOff100", "quartile75", "quartile75", less="quartile100", says="Lost after 75 %."),
)
