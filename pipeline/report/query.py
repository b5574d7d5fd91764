"""What is asked for: from a query string to a frozen Query, or a refusal that names the word."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from pipeline.catalog import WINDOWS, DimensionSet, Window
from pipeline.report import moment
from pipeline.report.accept import format_of
from pipeline.report.moment import Moment
from pipeline.report.problem import NOTHING, Refused, bad_value, too_large, unknown_word
from pipeline.report.querystring import number, read, split
from pipeline.report.words import (
    BY_WORDS,
    DIMENSION_OF,
    DIMENSIONS,
    METRIC,
    METRIC_WORDS,
    MOST_BUCKETS,
    MOST_ROWS,
    MOST_VALUES,
    OWNED,
    PARTNER,
    TIME,
    WINDOW,
    Bucket,
    Compare,
    Fill,
    Format,
    Times,
    set_with,
)

Kind = TypeVar("Kind", bound=StrEnum)
Filters = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One word to sort by."""

    word: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything of a query but its range.

    Attributes:
        window: whose rows are read.
        by: the columns of a row that are no metrics, `time` first.
        filters: values allowed, by dimension; the caller's partner among them.
        metrics: in the order asked for.
        order: complete: ties are broken by every column of `by`.
        limit, offset: which rows are shown.
        whole: all of them are wanted: more than the limit are refused.
        tz: name of the time zone.
        bucket, fill, compare, format, times: see words.PARAMETERS.
        key: all of it as text: equal keys and ranges have equal answers.
    """

    window: Window
    by: tuple[str, ...]
    filters: Filters
    metrics: tuple[str, ...]
    order: tuple[Order, ...]
    limit: int
    offset: int
    tz: str
    bucket: Bucket
    fill: Fill
    compare: Compare
    format: Format
    times: Times
    whole: bool = False
    key: str = field(init=False, default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", repr(self))


@dataclass(frozen=True, slots=True)
class Query:
    """One question with its range: whole windows whose start is in [since, until)."""

    shape: Shape
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A query whose range may lean on now.

    Attributes:
        shape: what is asked.
        since, until: its range as given.
    """

    shape: Shape
    since: Moment
    until: Moment

    @property
    def moves(self) -> bool:
        """Tell whether it is another range a moment later."""
        return self.since.relative or self.until.relative

    def at(self, now: int) -> Query:
        """Return the query at this instant; its range is cut to whole windows."""
        tz = moment.zone("tz", self.shape.tz)
        size = self.shape.window.seconds
        first, end = self.since.at(now, tz), self.until.at(now, tz)
        if first == end and self.moves and self.since != self.until:
            # now/d to now, on the stroke of midnight: the day has begun, with the window that starts here.
            end += 1
        if first >= end:
            raise bad_value("from", str(first), "`from` must be before `to`.")
        since, until = max(0, -(-first // size) * size), -(-end // size) * size
        if (until - since) // size > MOST_BUCKETS:
            raise too_large(
                f"{(until - since) // size} windows of {self.shape.window.name}, {MOST_BUCKETS} at most: "
                "ask for a shorter range or a longer window."
            )
        return Query(self.shape, since, until)


def parse(text: str, partner: str | None, accept: str = "") -> Asked:
    """Return what a query string asks for.

    Args:
        text: the raw query string.
        partner: the only partner that the caller may see; None: all.
        accept: header Accept, which says the format where the query does not.
    """
    given = read(text)
    one = {name: values[0] for name, values in given.items()}
    tz = moment.zone("tz", one.get("tz", "UTC"))
    by = _by(one.get("by", TIME))
    metrics = _metrics(one.get("metrics"))
    written = _enum("format", one["format"], Format) if "format" in one else format_of(accept)
    # A download is whole unless a part is asked for: nothing in it would say that there is more.
    rows = str(MOST_ROWS if written is Format.CSV else 1000)
    shape = Shape(
        window=_window(one.get("window", "1m")),
        by=by,
        filters=_filters(given, partner),
        metrics=metrics,
        order=_order(one.get("order", ""), by),
        limit=number("limit", one.get("limit", rows), 1, MOST_ROWS),
        offset=number("offset", one.get("offset", "0"), 0, 10**9),
        tz=tz.key,
        bucket=_enum("bucket", one.get("bucket", Bucket.WINDOW), Bucket),
        fill=_enum("fill", one.get("fill", Fill.NONE), Fill),
        compare=_enum("compare", one.get("compare", Compare.NONE), Compare),
        format=written,
        times=_enum("times", one.get("times", Times.UNIX), Times),
        whole=written is Format.CSV and "limit" not in one,
    )
    _fitting(shape)
    since = moment.parse("from", one.get("from", "now-1h"), tz)
    until = moment.parse("to", one.get("to", "now"), tz)
    return Asked(shape, since, until)


def _window(word: str) -> Window:
    if word not in WINDOW:
        raise unknown_word("window", word, tuple(WINDOW))
    return WINDOW[word]


def _enum(parameter: str, word: str, kind: type[Kind]) -> Kind:
    try:
        return kind(word)
    except ValueError as error:
        raise unknown_word(parameter, word, tuple(str(one) for one in kind)) from error


def _by(text: str) -> tuple[str, ...]:
    words = text.split(",") if text else []
    found: set[str] = set()
    for word in words:
        if word != TIME and word not in DIMENSION_OF:
            raise unknown_word("by", word, BY_WORDS)
        found.add(DIMENSION_OF.get(word, TIME))
    if found & OWNED:
        found.add(PARTNER)
    return tuple(name for name in (TIME, *DIMENSIONS) if name in found)


def _metrics(text: str | None) -> tuple[str, ...]:
    if text is None:
        return tuple(METRIC)
    words = tuple(dict.fromkeys(text.split(",")))
    for word in words:
        if word not in METRIC_WORDS:
            raise unknown_word("metrics", word, METRIC_WORDS)
    return words


def _order(text: str, by: tuple[str, ...]) -> tuple[Order, ...]:
    orders: dict[str, Order] = {}
    for said in text.split(",") if text else []:
        word = said.removeprefix("-")
        name = DIMENSION_OF.get(word, word)
        if name not in by and name not in METRIC_WORDS:
            raise unknown_word("order", said, (*by, *METRIC_WORDS))
        orders.setdefault(name, Order(name, said.startswith("-")))
    return tuple((orders | {name: Order(name, False) for name in by if name not in orders}).values())


def _filters(given: dict[str, list[str]], partner: str | None) -> Filters:
    filters: dict[str, tuple[str, ...]] = {}
    for name in DIMENSIONS:
        if name in given:
            values = sorted({part for text in given[name] for part in split(text)})
            if len(values) > MOST_VALUES:
                raise too_large(f"{name} has {len(values)} values, {MOST_VALUES} at most.")
            filters[name] = tuple(values)
    if partner is not None:
        if set(filters.get(PARTNER, ())) - {partner}:
            raise Refused(NOTHING)
        filters[PARTNER] = (partner,)
    return tuple(sorted(filters.items()))


def kept_set(asked: frozenset[str], window: Window, parameter: str = "by") -> DimensionSet:
    """Return the smallest set whose rows know these dimensions together in a window; refuse what none does."""
    found = set_with(asked, window.name)
    if found is None:
        kept = [one.name for one in WINDOWS if set_with(asked, one.name) is not None]
        why = f"They are kept in window={' or '.join(kept)}." if kept else "No rows know all of these together."
        raise bad_value(parameter, window.name if parameter == "window" else ",".join(sorted(asked)), why)
    return found


def _fitting(shape: Shape) -> None:
    """Refuse words that are known, but not together."""
    kept_set(frozenset({*shape.by, *dict(shape.filters)} - {TIME}), shape.window)
    if shape.fill is Fill.ZERO:
        free = [name for name in shape.by if name != TIME and name not in dict(shape.filters)]
        if free:
            raise bad_value("fill", "zero", f"fill=zero needs the values to fill: give {', '.join(free)}.")
