"""What `/v1/events` is asked: one number of the report, and how far around it the beacons are looked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.catalog import DIMENSIONS, Adds, Window
from pipeline.dimensions import FROM_FILES
from pipeline.report import moment
from pipeline.report.problem import NOTHING, Refused, bad_value, unknown_word
from pipeline.report.query import Query, Shape, kept_set
from pipeline.report.querystring import number, read
from pipeline.report.words import (
    DERIVED_METRIC,
    DIMENSION_OF,
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
ENTRY = "entryId"
# The dimensions that a number may be asked by beyond partner and entry, those that some set of the line knows.
FURTHER = {one.name: one for one in DIMENSIONS if one.name in DIMENSION_OF and one.name not in (PARTNER, ENTRY)}
EXPLAINED_DIMENSIONS = frozenset(name for name, one in FURTHER.items() if one.source not in FROM_FILES)
_OTHER = "(other)"

EVENT_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("partnerId", "Whose number; needed from an operator.", {"type": "string"}, "4242"),
    Parameter("entryId", "Of which entry; without it the partner's number.", {"type": "string"}, "1_x"),
    *(
        Parameter(
            name,
            f"With this value of it. {one.says}"
            + ("" if name in EXPLAINED_DIMENSIONS else " Refused: only the worker has the files that say it."),
            {"type": "string"},
            "x",
        )
        for name, one in FURTHER.items()
    ),
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
        further: values of further dimensions, by name.
        carried: dimensions that a beacon must have a value of to be in these rows.
    """

    partner: str
    entry: str | None
    window: Window
    start: int
    metric: str
    before: int = BEFORE_SECONDS
    after: int = AFTER_SECONDS
    limit: int = 100
    further: tuple[tuple[str, str], ...] = ()
    carried: tuple[str, ...] = ()

    @property
    def filters(self) -> dict[str, str]:
        """Return its value of every dimension that it is asked by."""
        return {PARTNER: self.partner} | ({} if self.entry is None else {ENTRY: self.entry}) | dict(self.further)

    @property
    def read(self) -> tuple[str, ...]:
        """Return the dimensions beyond partner and entry that have to be read of a beacon."""
        return tuple(name for name in FURTHER if name in dict(self.further) or name in self.carried)

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
    further = {name: one[name] for name in FURTHER if name in one}
    return Cell(
        whose,
        one.get(ENTRY),
        window,
        _start(one["start"], window, now),
        one["metric"],
        number("before", one.get("before", str(BEFORE_SECONDS)), 0, MOST_SECONDS),
        number("after", one.get("after", str(AFTER_SECONDS)), 0, MOST_SECONDS),
        number("limit", one.get("limit", "100"), 1, MOST_SHOWN),
        tuple(further.items()),
        _carried({name: one[name] for name in (ENTRY, *FURTHER) if name in one}, window, one["metric"]),
    )


def _carried(values: dict[str, str], window: Window, metric: str) -> tuple[str, ...]:
    """Return which dimensions a beacon must have a value of; refuse what no beacon can explain."""
    _refuse_files(values, values)
    for name, value in values.items():
        if value == _OTHER:
            why = f"{_OTHER} is all that came over the bound of its set: no beacon says by itself that it did."
            raise bad_value(name, value, why)
    kept = kept_set(frozenset({PARTNER, *values}), window, "window")
    more = [name for name in kept.dimensions if name != PARTNER and name not in values]
    if more and any(METRIC[name].adds is Adds.SESSION for name in sums_of(metric)):
        why = f"Sessions are kept by {', '.join(kept.dimensions)} together: give {', '.join(more)} too."
        raise bad_value("metric", metric, why)
    carried = kept.dimensions if kept.carried else ()
    _refuse_files(carried, values)
    return carried


def _refuse_files(names: Iterable[str], values: dict[str, str]) -> None:
    """Refuse dimensions that only the worker can tell."""
    for name in names:
        if name in FURTHER and name not in EXPLAINED_DIMENSIONS:
            why = f"{name} is looked up by the worker, in files of the operator that the report does not have: "
            raise bad_value(name, values.get(name, ""), why + "no beacon says by itself that it is of this number.")


def _start(text: str, window: Window, now: int) -> int:
    utc = moment.zone("tz", "UTC")
    start = moment.parse("start", text, utc).at(now, utc)
    if start < 0 or start % window.seconds:
        near = max(0, start) // window.seconds * window.seconds
        raise bad_value("start", text, f"No window of {window.name} starts at {start}; the one around it at {near}.")
    return start


def query_of(cell: Cell) -> Query:
    """Return what the report is asked for the same number."""
    filters = {name: (value,) for name, value in cell.filters.items()}
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
