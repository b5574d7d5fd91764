"""The one place that says what is counted: event types, metrics, dimension sets, windows.

Adding a metric, a set, a window or an event type is one line here; rows, report, page, OpenAPI and
tests follow from it. A line is added or removed, never edited: a changed window size is a new window.
The price of a line: rows per event = windows x sets; see README, "How to add".
"""

from __future__ import annotations

from enum import IntEnum

from pipeline.kinds import (
    Adds,
    Derived,
    Dimension,
    DimensionSet,
    Distinct,
    Metric,
    Peak,
    Window,
    by,
    count,
    having,
    kbps,
    ratio,
    seconds,
    sessions,
)

__all__ = [
    "AUDIENCE_PEAK",
    "DERIVED",
    "DIMENSIONS",
    "DISTINCT",
    "METRICS",
    "SETS",
    "WINDOWS",
    "Adds",
    "Derived",
    "Dimension",
    "DimensionSet",
    "Distinct",
    "EventType",
    "Metric",
    "Peak",
    "Window",
]


class EventType(IntEnum):
    """Event types of `service=analytics` (seed, features.md section 7; protocol.md section 2).

    A number that is not here is counted by its number, as metric `event<number>`; one over 19,999 as `eventOther`.
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


AUDIENCE_PEAK = Peak("peak", "audience", "sessions", "Most sessions that watched in one and the same 10 s.")


DISTINCT: tuple[Distinct, ...] = (
    Distinct("sessions", None, "sessions", "Sessions with any event: exact in one window, else by whole minutes."),
    Distinct("users", "user", "users", "Users; who is anonymous counts as a session. By whole minutes."),
)


WINDOWS: tuple[Window, ...] = (
    Window("10s", 10, 6 * 3600),
    Window("1m", 60, 7 * 86400),
    Window("1h", 3600, 400 * 86400),
)


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


SETS: tuple[DimensionSet, ...] = (
    DimensionSet("partner", ("partnerId",), peaks=True, sketches=("1m", "1h")),
    DimensionSet("entry", ("partnerId", "entryId"), peaks=True, sketches=("1m", "1h")),
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
    # Further ones, off by default, are in more_sets.py and original_sets.py: WORKER_SETS names them.
)


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
    Derived(
        "averageCompletion",
        ((1, "quartile25"), (1, "quartile50"), (1, "quartile75"), (1, "quartile100")),
        ((1, "plays"),),
        4,
        "ratio",
        "Part of the media passed per play, by quartiles (by seek too).",
    ),
    ratio("dropOff25", "plays", "plays", less="quartile25", says="Lost before 25 %, of plays."),
    ratio("dropOff50", "quartile25", "quartile25", less="quartile50", says="Lost between 25 % and 50 %."),
    ratio("dropOff75", "quartile50", "quartile50", less="quartile75", says="Lost between 50 % and 75 %."),
    ratio("dropOff100", "quartile75", "quartile75", less="quartile100", says="Lost after 75 %."),
)
