"""Every word that a query may use; parser, errors and OpenAPI read them here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.catalog import (
    AUDIENCE_PEAK,
    DERIVED,
    DISTINCT,
    METRICS,
    SETS,
    WINDOWS,
    Adds,
    Derived,
    DimensionSet,
    Distinct,
    Metric,
    Window,
)


class Bucket(StrEnum):
    """What `time` is cut into: the window itself, or hours or days of a time zone."""

    WINDOW = "window"
    HOUR = "hour"
    DAY = "day"


class Format(StrEnum):
    """How the answer is written."""

    JSON = "json"
    CSV = "csv"


class Times(StrEnum):
    """How `time` is written in rows."""

    UNIX = "unix"
    ISO = "iso"


class Fill(StrEnum):
    """What becomes of buckets without a row."""

    NONE = "none"
    ZERO = "zero"


class Compare(StrEnum):
    """What the answer is compared with."""

    NONE = "none"
    PREVIOUS = "previous"


TIME = "time"
PARTNER = "partnerId"
# An entry's id is its partner's own: rows by entry name their partner too.
OWNED: frozenset[str] = frozenset({"entryId"})

METRIC: dict[str, Metric] = {metric.name: metric for metric in METRICS}
DERIVED_METRIC: dict[str, Derived] = {derived.name: derived for derived in DERIVED}
PEAK = AUDIENCE_PEAK.name
DISTINCT_METRIC: dict[str, Distinct] = {one.name: one for one in DISTINCT}
METRIC_WORDS: tuple[str, ...] = tuple(dict.fromkeys((*METRIC, PEAK, *DISTINCT_METRIC, *DERIVED_METRIC)))
WINDOW: dict[str, Window] = {window.name: window for window in WINDOWS}
DIMENSIONS: tuple[str, ...] = tuple(dict.fromkeys(name for one in SETS for name in one.dimensions))


def short(dimension: str) -> str:
    """Return the word for a dimension in `by`: partnerId is also partner."""
    return dimension.removesuffix("Id")


DIMENSION_OF: dict[str, str] = {word: name for name in DIMENSIONS for word in (short(name), name)}
BY_WORDS: tuple[str, ...] = (TIME, *(short(name) for name in DIMENSIONS))


def set_with(dimensions: frozenset[str], window: str) -> DimensionSet | None:
    """Return the smallest set that is kept in a window and whose rows know all of these dimensions."""
    return smallest(dimensions, window, SETS)


def smallest(dimensions: frozenset[str], window: str, sets: Iterable[DimensionSet]) -> DimensionSet | None:
    """Return the smallest of these sets that is kept in a window and whose rows know all of these dimensions."""
    fitting = [one for one in sets if dimensions <= set(one.dimensions) and (not one.windows or window in one.windows)]
    return min(fitting, key=lambda one: len(one.dimensions), default=None)


def sums_of(metric: str) -> tuple[str, ...]:
    """Return the kept metrics that a metric is made of, or, where no sum says it, the one that it is about."""
    if metric in METRIC:
        return (metric,)
    if metric == PEAK:
        return (AUDIENCE_PEAK.of,)
    if metric in DISTINCT_METRIC:
        return (DISTINCT[0].name,)
    derived = DERIVED_METRIC[metric]
    return tuple(dict.fromkeys(name for _, name in (*derived.over, *derived.under)))


def counts_sessions(metric: str) -> bool:
    """Tell whether a metric counts sessions, whose rows add up over partitions but not over windows."""
    return metric in DISTINCT_METRIC or (
        metric != PEAK and any(METRIC[name].adds is Adds.SESSION for name in sums_of(metric))
    )


def unit_of(metric: str) -> str:
    """Return the unit that people see."""
    if metric in DERIVED_METRIC:
        return DERIVED_METRIC[metric].unit
    if metric == PEAK:
        return AUDIENCE_PEAK.unit
    if metric in DISTINCT_METRIC:
        return DISTINCT_METRIC[metric].unit
    return "s" if METRIC[metric].unit == "ms" else METRIC[metric].unit


MOST_ROWS = 50_000
MOST_BUCKETS = 20_160  # two weeks of minutes, ever so many days of hours
MOST_VALUES = 500


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the query.

    Attributes:
        name: its name.
        says: one or two sentences for people.
        schema: its JSON schema.
        example: a value that works.
        many: it may be given as a comma-separated list.
        needed: there is no answer without it.
    """

    name: str
    says: str
    schema: dict[str, object]
    example: str
    many: bool = False
    needed: bool = False


def _one_of(kind: type[StrEnum]) -> dict[str, object]:
    return {"type": "string", "enum": [str(one) for one in kind]}


INSTANT: dict[str, object] = {
    "type": "string",
    "pattern": r"^(now(-\d{1,6}[smhdw])?(/[hd])?|\d{1,10}"
    r"|\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?)$",
}

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("window", "Which rows are read.", {"type": "string", "enum": [*WINDOW], "default": "1m"}, "1m"),
    Parameter(
        "from",
        "First instant: Unix seconds, ISO 8601 (in `tz` where it names no offset), now, now-15m, now-1d/d. "
        "A row counts if its start is in [from, to).",
        INSTANT | {"default": "now-1h"},
        "now-1h",
    ),
    Parameter("to", "The instant after the last one; like `from`.", INSTANT | {"default": "now"}, "now"),
    Parameter(
        "by",
        "One row for each of these; empty: one row for all.",
        {"type": "array", "items": {"type": "string", "enum": [*BY_WORDS]}, "default": [TIME]},
        "time,entry",
        many=True,
    ),
    Parameter(
        "metrics",
        "What is counted; all kept metrics by default.",
        {"type": "array", "items": {"type": "string", "enum": [*METRIC_WORDS]}, "minItems": 1},
        "plays,views",
        many=True,
    ),
    *(
        Parameter(
            name,
            f"Only rows with one of these, {MOST_VALUES} at most; a comma inside a value is written \\,",
            {"type": "array", "items": {"type": "string"}, "maxItems": MOST_VALUES},
            "4242" if name == PARTNER else "1_x",
            many=True,
        )
        for name in DIMENSIONS
    ),
    Parameter(
        "order",
        "Words of `by` or `metrics`, - before one: largest first. By default the words of `by`.",
        {"type": "array", "items": {"type": "string"}},
        "-plays",
        many=True,
    ),
    Parameter(
        "limit",
        f"Rows at most. CSV without it is whole: more than {MOST_ROWS} rows are refused (422), not cut.",
        {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": 1000},
        "50",
    ),
    Parameter("offset", "Rows passed over.", {"type": "integer", "minimum": 0, "default": 0}, "0"),
    Parameter(
        "tz",
        "Time zone (IANA name, or UTC+05:30) of hour and day buckets, of dates without an offset and of times=iso.",
        {"type": "string", "default": "UTC"},
        "Europe/Berlin",
    ),
    Parameter("bucket", "What `time` is cut into.", _one_of(Bucket) | {"default": "window"}, "day"),
    Parameter("fill", "zero: a row for every bucket and value asked for.", _one_of(Fill), "zero"),
    Parameter("compare", "previous: beside each row the same of the period before.", _one_of(Compare), "none"),
    Parameter("times", "How `time` is written in rows.", _one_of(Times), "unix"),
    Parameter("format", "How the answer is written; else by Accept.", _one_of(Format), "json"),
)
PARAMETER_WORDS: tuple[str, ...] = tuple(parameter.name for parameter in PARAMETERS)
