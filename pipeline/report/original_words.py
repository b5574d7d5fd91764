"""The original's words beside ours, and how it refuses: {kind, data}. Pure."""

from __future__ import annotations

from pipeline.catalog import METRICS, Adds
from pipeline.report.words import METRIC_WORDS

FIELDS = ("from", "to", "dimensions", "filters", "metrics", "utcOffset", "orderBy", "pager")
# Their word for a dimension: ours.
DIMENSION: dict[str, str] = {
    "partner": "partnerId",
    "entry": "entryId",
    "device": "device",
    "operatingSystem": "operatingSystem",
    "browser": "browser",
    "country": "country",
    "city": "city",
    "syndicationDomain": "domain",
    "referrer": "page",
    "application": "application",
    "playbackContext": "playbackContext",
    "cf1": "customVar1",
    "cf2": "customVar2",
    "cf3": "customVar3",
    "knownUserId": "user",
    "streamingProtocol": "deliveryType",
    "uiConfID": "uiConfId",
}
# Their word for a time dimension: its seconds, and how its values are written.
TIMES: dict[str, tuple[int, str]] = {
    "day": (86_400, "%m/%d/%Y"),
    "hour": (3600, "%m/%d/%Y %H:%M"),
    "minute": (60, "%m/%d/%Y %H:%M"),
    "tenSeconds": (10, "%m/%d/%Y %H:%M:%S"),
}
_THEIRS: dict[str, str] = {
    "playerImpression": "impressions",
    "playRequested": "playRequests",
    "play": "plays",
    "playThrough25": "quartile25",
    "playThrough50": "quartile50",
    "playThrough75": "quartile75",
    "playThrough100": "quartile100",
    "view": "views",
    "tenSecsViewed": "views",
    "resume": "resumes",
    "pauseClicked": "pauses",
    "replay": "replays",
    "seek": "seeks",
    "shareClicked": "shareClicks",
    "shared": "shares",
    "downloadClicked": "downloads",
    "estimatedMinutesWatched": "minutesWatched",
    "averageViewDropOff": "averageCompletion",
    "playRatio": "playRate",
    "peakView": "peak",
    "bufferingTime": "bufferTime",
    "averageActualBitrate": "averageBitrate",
    "loadToPlayTime": "averageJoinTime",
    "uniquePlayerSessionId": "sessions",
    "uniqueKnownUsers": "users",
}
# A number that names an event type, as theirs did for types without a name; and our own words.
MEASURE: dict[str, str] = {
    **{name: name for name in METRIC_WORDS},
    **{str(one.types[0]): one.name for one in METRICS if one.adds is Adds.ONE and len(one.types) == 1},
    **{theirs: ours for theirs, ours in _THEIRS.items() if ours in METRIC_WORDS},
}


class Wrong(Exception):
    """Answer {kind, data} with this status."""

    def __init__(self, status: int, kind: str, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.content = {"kind": kind, "data": {"message": detail} | more}


def invalid(field: str, detail: str) -> Wrong:
    """Refuse what one of the eight fields says."""
    return Wrong(400, "invalidInput", detail, field=field)
