"""The product dashboard, over the report's own answers: what was watched. Its words come from the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana.panels import Json, dashboard, panel, row
from pipeline.catalog import DERIVED, METRICS, WINDOWS, Derived, Metric

REPORT = {"type": "yesoreyeram-infinity-datasource", "uid": "report"}
SECONDS = {"from": "${__from:date:seconds}", "to": "${__to:date:seconds}"}
CHOSEN = {"window": "$window", "partnerId": "${partner:csv}"}
UNITS = {"ms": "s", "s": "s", "min": "m", "ratio": "percentunit", "kbps": "Kbits"}
WORDS: tuple[Metric | Derived, ...] = (*METRICS, *DERIVED)
UNIT = {one.name: UNITS.get(one.unit, "short") for one in WORDS}
SAYS = {one.name: one.says for one in WORDS}
HEADLINES = ("plays", "views", "minutesWatched", "bufferTime", "bufferingRatio", "playRate")
OVER_TIME = (
    *("plays", "views", "bufferTime", "impressions", "playRequests", "pauses", "seeks", "replays"),
    *("quartile25", "quartile50", "quartile75", "quartile100", "shares", "errors"),
)
OF_AN_ENTRY = ("plays", "views", "bufferTime", "bufferingRatio", "completionRate")


def ask(by: str, metrics: Sequence[str], **more: str) -> Json:
    """Return a query of /v1/report: one column for each word of `by`, and for each metric."""
    parameters = CHOSEN | SECONDS | {"by": by, "metrics": ",".join(metrics)} | more
    columns = [_dimension(word) for word in by.split(",") if word]
    columns += [{"selector": name, "text": name, "type": "number"} for name in metrics]
    return {
        "datasource": REPORT,
        "type": "json",
        "source": "url",
        "parser": "backend",
        "format": "timeseries" if by == "time" else "table",
        "url": "/v1/report",
        "url_options": {
            "method": "GET",
            "data": "",
            "params": [{"key": name, "value": value} for name, value in parameters.items()],
        },
        "root_selector": "rows",
        "columns": columns,
        "filters": [],
    }


def _dimension(word: str) -> Json:
    if word == "time":
        return {"selector": "time", "text": "Time", "type": "timestamp_epoch_s"}
    return {"selector": f"{word}Id", "text": word, "type": "string"}


def _counted_through() -> Json:
    column = {"selector": "countedThrough", "text": "counted through", "type": "timestamp_epoch_s"}
    return ask("", ["plays"]) | {"root_selector": "", "columns": [column]}


def _partners() -> Json:
    """Return the variable that lists the partners of the chosen time."""
    query = ask("partner", ["plays"], order="-plays", limit="1000")
    names = [{"selector": "partnerId", "text": "partner", "type": "string"}]
    parameters = [one for one in query["url_options"]["params"] if one["key"] != "partnerId"]
    options = query["url_options"] | {"params": parameters}
    asked = query | {"refId": "variable", "columns": names, "url_options": options}
    return {
        "type": "query",
        "name": "partner",
        "label": "Partner",
        "datasource": REPORT,
        "query": {"queryType": "infinity", "infinityQuery": asked},
        "refresh": 2,
        "multi": True,
        "includeAll": False,
    }


def _windows() -> Json:
    names = [window.name for window in WINDOWS]
    chosen = names[1] if len(names) > 1 else names[0]
    return {
        "type": "custom",
        "name": "window",
        "label": "Window",
        "query": ",".join(names),
        "options": [{"text": name, "value": name, "selected": name == chosen} for name in names],
        "current": {"text": chosen, "value": chosen},
    }


def playback() -> Json:
    """Return the dashboard."""
    headlines = [
        panel("stat", name, SAYS[name], [ask("", [name])], unit=UNIT[name], width=4, height=5) for name in HEADLINES
    ]
    over_time = [panel("timeseries", name, SAYS[name], [ask("time", [name])], unit=UNIT[name]) for name in OVER_TIME]
    entries = ask("entry", OF_AN_ENTRY, order="-plays", limit="100")
    entries["columns"] = [_dimension("partner"), *entries["columns"]]
    return dashboard(
        "playback",
        "Playback",
        "Plays, views and buffering of the chosen partners, as the report counts them.",
        [
            *headlines,
            panel("table", "Entries", "The hundred with the most plays.", [entries], width=16, height=10),
            panel(
                "stat",
                "Counted through",
                "Every beacon answered 200 before this instant is in the numbers.",
                [_counted_through()],
                unit="dateTimeAsLocal",
                width=8,
                height=10,
            ),
            row("Over time"),
            *over_time,
        ],
        time={"from": "now-1h", "to": "now"},
        refresh="30s",
        templating={"list": [_windows(), _partners()]},
    )
