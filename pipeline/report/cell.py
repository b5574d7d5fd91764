"""What `/v1/events` is asked: one number of the report, and how far around it the beacons are looked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.catalog import Adds, Window
from pipeline.report import moment
from pipeline.report.problem import NOTHING, Refused, bad_value, unknown_word
from pipeline.report.query import Query, Shape
from pipeline.report.querystring import number, read
from pipeline.report.words import (
    DERIVED_METRIC,
    INSTANT,
    METRIC,
    PARTNER,
    WINDOW,
    Bucket,
    Compare,
    Fill,
    Format,
    Parameter,
    Times,
    sums_of,
)

# A repeat is looked for so long before the window, a late beacon so long after it; more on request.
BEFORE_SECONDS = 60
AFTER_SECONDS = 600
MOST_SECONDS = 86_400
MOST_SHOWN = 1000
# What a single beacon adds to; other metrics are made of more than single beacons.
EXPLAINED = (Adds.ONE, Adds.VALUE, Adds.HAVING, Adds.LACKING, Adds.SESSION, Adds.WATCHED)
EXPLAINED_WORDS: tuple[str, ...] = tuple(
    word
    for word in (*METRIC, *DERIVED_METRIC)
    if all(name in METRIC and METRIC[name].adds in EXPLAINED for name in sums_of(word))
)

EVENT_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("partnerId", "Whose number; needed from an operator.", {"type": "string"}, "4242"),
    Parameter("entryId", "Of which entry; without it the partner's number.", {"type": "string"}, "1_x"),
    Parameter("window", "The number's window.", {"type": "string", "enum": [*WINDOW]}, "1m", needed=True),
    Parameter("start", "Where its window starts: `time` of its row.", INSTANT, "1795424400", needed=True),
    Parameter(
        "metric",
        "Which number; of a ratio the beacons behind its parts. For watchedTime look back as far as the sessions go.",
        {"type": "string", "enum": [*EXPLAINED_WORDS]},
        "plays",
        needed=True,
    ),
    Parameter(
        "before",
        "Seconds of the topic before the window in which a first sighting is looked for: what repeats it is not shown.",
        {"type": "integer", "minimum": 0, "maximum": MOST_SECONDS, "default": BEFORE_SECONDS},
        "60",
    ),
    Parameter(
        "after",
        "Seconds of the topic after the window in which late beacons are looked for, which an ingest had kept back.",
        {"type": "integer", "minimum": 0, "maximum": MOST_SECONDS, "default": AFTER_SECONDS},
        "600",
    ),
    Parameter(
        "limit",
        "Beacons shown, first received first; all are added up.",
        {"type": "integer", "minimum": 1, "maximum": MOST_SHOWN, "default": 100},
        "100",
    ),
)
_WORDS = tuple(one.name for one in EVENT_PARAMETERS)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of the report.

    Attributes:
        partner: whose.
        entry: of which entry; None: the partner's.
        window, start: its window and where that starts, Unix seconds.
        metric: which number.
        before, after: seconds of the topic that are looked at around the window.
        limit: beacons shown.
    """

    partner: str
    entry: str | None
    window: Window
    start: int
    metric: str
    before: int = BEFORE_SECONDS
    after: int = AFTER_SECONDS
    limit: int = 100

    @property
    def end(self) -> int:
        """Return the instant after the window."""
        return self.start + self.window.seconds

    @property
    def sums(self) -> tuple[str, ...]:
        """Return the kept metrics that the number is made of."""
        return sums_of(self.metric)


def parse_cell(text: str, partner: str | None, now: int) -> Cell:
    """Return the cell that a query string names.

    Args:
        text: the raw query string.
        partner: the only partner that the caller may see; None: all.
        now: Unix seconds.
    """
    one = {name: values[0] for name, values in read(text, _WORDS, lists=()).items()}
    for name in ("window", "start", "metric"):
        if name not in one:
            raise bad_value(name, "", f"{name} is needed: the number's window, start and metric name it.")
    whose = one.get("partnerId", partner)
    if whose is None:
        raise bad_value("partnerId", "", "partnerId is needed: every number is some partner's.")
    if partner is not None and whose != partner:
        raise Refused(NOTHING)
    if one["window"] not in WINDOW:
        raise unknown_word("window", one["window"], tuple(WINDOW))
    if one["metric"] not in EXPLAINED_WORDS:
        raise unknown_word("metric", one["metric"], EXPLAINED_WORDS)
    window = WINDOW[one["window"]]
    return Cell(
        whose,
        one.get("entryId"),
        window,
        _start(one["start"], window, now),
        one["metric"],
        number("before", one.get("before", str(BEFORE_SECONDS)), 0, MOST_SECONDS),
        number("after", one.get("after", str(AFTER_SECONDS)), 0, MOST_SECONDS),
        number("limit", one.get("limit", "100"), 1, MOST_SHOWN),
    )


def _start(text: str, window: Window, now: int) -> int:
    utc = moment.zone("tz", "UTC")
    start = moment.parse("start", text, utc).at(now, utc)
    if start < 0 or start % window.seconds:
        near = max(0, start) // window.seconds * window.seconds
        raise bad_value("start", text, f"No window of {window.name} starts at {start}; the one around it at {near}.")
    return start


def query_of(cell: Cell) -> Query:
    """Return what the report is asked for the same number."""
    filters = {PARTNER: (cell.partner,)} | ({} if cell.entry is None else {"entryId": (cell.entry,)})
    shape = Shape(
        window=cell.window,
        by=(),
        filters=tuple(sorted(filters.items())),
        metrics=tuple(dict.fromkeys((cell.metric, *cell.sums))),
        order=(),
        limit=1,
        offset=0,
        tz="UTC",
        bucket=Bucket.WINDOW,
        fill=Fill.NONE,
        compare=Compare.NONE,
        format=Format.JSON,
        times=Times.UNIX,
    )
    return Query(shape, cell.start, cell.end)
