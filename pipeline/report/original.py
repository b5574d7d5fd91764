"""`POST /query` in the original's words: a question of theirs becomes a Query of ours, and our answer theirs. Pure.

Words and forms are those of kanalony's query API (features.md section 4); where it was wrong, a question is refused
with a kind that says so. deploy/query-compatibility.md lists the differences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.report.moment import BEYOND, FixedZone
from pipeline.report.original_window import Wanted, window_of
from pipeline.report.original_words import DIMENSION, FIELDS, MEASURE, TIMES, Wrong, invalid
from pipeline.report.problem import NOTHING, Refused
from pipeline.report.query import Filters, Order, Query, Shape
from pipeline.report.words import (
    DIMENSION_OF,
    MOST_ROWS,
    MOST_VALUES,
    PARTNER,
    TIME,
    Compare,
    Fill,
    Format,
    Times,
)

_TIME = re.compile(r"(\d\d)/(\d\d)/(\d{4}) (\d\d):(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Question:
    """A question of theirs, understood.

    Attributes:
        query: what the report is asked.
        columns: of the answer: their word, and ours.
        zone: of the times written.
        whole: every row is wanted.
    """

    query: Query
    columns: tuple[tuple[str, str], ...]
    zone: FixedZone
    whole: bool


def parse(said: Any, partner: str | None, now: int) -> Question:
    """Return what a body asks for.

    Args:
        said: its JSON.
        partner: the only partner that the caller may see; None: all.
        now: Unix seconds.

    Raises:
        Wrong: a word or value does not fit. Refused: it is another partner's.
    """
    if not isinstance(said, dict):
        raise invalid("", "The body must be a JSON object.")
    for name in FIELDS:
        if name not in said:
            raise invalid(name, f"{name} is needed, as are all of {', '.join(FIELDS)}.")
    if unknown := sorted(said.keys() - set(FIELDS)):
        raise invalid(unknown[0], f"{unknown[0]!r} is not known; there are {', '.join(FIELDS)}.")
    zone = _zone(said["utcOffset"])
    since, until = (_instant(name, said[name], zone) for name in ("from", "to"))
    if since >= until:
        raise invalid("from", "from must be before to.")
    dimensions = _words("dimensions", said["dimensions"])
    metrics = _words("metrics", said["metrics"])
    filters = _filters(said["filters"], partner)
    by, times = _by(dimensions)
    measured = {word: _measure(word) for word in metrics}
    if not measured:
        raise invalid("metrics", "metrics must name one or more.")
    finest = min((TIMES[word][0] for word in times), default=0)
    asked = frozenset({*by, *dict(filters)} - {TIME})
    window, bucket = window_of(Wanted(since, until, finest, zone.seconds, asked, now))
    limit, offset, whole = _page(said["pager"])
    columns = (*((word, TIME if word in TIMES else DIMENSION[word]) for word in dimensions), *measured.items())
    shape = Shape(
        window=window,
        by=by,
        filters=filters,
        metrics=tuple(dict.fromkeys(measured.values())),
        order=_order(said["orderBy"], dict(columns), by),
        limit=limit,
        offset=offset,
        tz=zone.key,
        bucket=bucket,
        fill=Fill.NONE,
        compare=Compare.NONE,
        format=Format.JSON,
        times=Times.UNIX,
    )
    return Question(Query(shape, since, until), columns, zone, whole)


def _zone(said: Any) -> FixedZone:
    if type(said) is not int or abs(said) > 14 * 60:
        raise invalid("utcOffset", "utcOffset must be whole minutes ahead of UTC, from -840 to 840.")
    return FixedZone.ahead(said)


def _instant(field: str, said: Any, zone: FixedZone) -> int:
    found = _TIME.fullmatch(said) if isinstance(said, str) else None
    try:
        month, day, year, hour, minute = map(int, found.groups()) if found else (0, 0, 0, 0, 0)
        at = int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) - zone.seconds
    except ValueError as error:
        raise invalid(field, f"{field} must be a time like 11/23/2026 10:00 (MM/dd/yyyy HH:mm).") from error
    if not 0 <= at < BEYOND:
        raise invalid(field, f"{field} must be from 1970 to 2286.")
    return at


def _words(field: str, said: Any) -> list[str]:
    if not isinstance(said, list) or not all(isinstance(word, str) for word in said) or len(set(said)) < len(said):
        raise invalid(field, f"{field} must be a list of words, each once.")
    return said


def _named(word: str) -> str:
    name = DIMENSION.get(word)
    if name is None or name not in DIMENSION_OF:
        known = [theirs for theirs, ours in DIMENSION.items() if ours in DIMENSION_OF]
        detail = f"Dimension {word[:100]!r} is not kept here; there are {', '.join((*known, *TIMES))}."
        raise Wrong(400, "unsupportedDimension", detail, dimension=word[:100], supported=[*known, *TIMES])
    return name


def _by(dimensions: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    times = [word for word in dimensions if word in TIMES]
    named = {_named(word) for word in dimensions if word not in TIMES}
    by = ((TIME,) if times else ()) + tuple(name for name in dict.fromkeys(DIMENSION_OF.values()) if name in named)
    return by, times


def _measure(word: str) -> str:
    if word not in MEASURE:
        detail = f"Metric {word[:100]!r} is not counted here."
        raise Wrong(400, "unsupportedMetric", detail, metric=word[:100], supported=sorted(MEASURE))
    return MEASURE[word]


def _filters(said: Any, partner: str | None) -> Filters:
    if not isinstance(said, list):
        raise invalid("filters", 'filters must be a list of {"dimension": word, "values": [texts]}.')
    found: dict[str, tuple[str, ...]] = {}
    for one in said:
        values = one.get("values") if isinstance(one, dict) and one.keys() == {"dimension", "values"} else None
        if not isinstance(values, list) or not all(isinstance(text, str) for text in (one["dimension"], *values)):
            raise invalid("filters", 'A filter must be {"dimension": word, "values": [texts]}.')
        if one["dimension"] in TIMES:
            raise invalid("filters", "Times are filtered by from and to.")
        name = _named(one["dimension"])
        if name in found or not 0 < len(values) <= MOST_VALUES:
            raise invalid("filters", f"Each dimension is filtered once, by 1 to {MOST_VALUES} values.")
        found[name] = tuple(sorted(set(values)))
    if partner is not None:
        if set(found.get(PARTNER, ())) - {partner}:
            raise Refused(NOTHING)
        found[PARTNER] = (partner,)
    return tuple(sorted(found.items()))


def _order(said: Any, columns: dict[str, str], by: tuple[str, ...]) -> tuple[Order, ...]:
    if not isinstance(said, str):
        raise invalid("orderBy", 'orderBy must be a text: "+word", "-word" or "".')
    first: dict[str, Order] = {}
    if said:
        word = said[1:] if said[0] in "+-" else said
        if word not in columns:
            detail = f"orderBy {said[:100]!r} is none of the dimensions and metrics asked for."
            raise Wrong(400, "unsupportedOrderBy", detail, orderBy=said[:100], supported=list(columns))
        # A bare word is descending, as theirs was.
        first[columns[word]] = Order(columns[word], not said.startswith("+"))
    return tuple((first | {name: Order(name, False) for name in by if name not in first}).values())


def _page(said: Any) -> tuple[int, int, bool]:
    """Return limit, offset, and whether every row is wanted: an index of 0 or less."""
    if not isinstance(said, dict) or said.keys() != {"size", "index"} or not all(type(n) is int for n in said.values()):
        raise invalid("pager", 'pager must be {"size": number, "index": number}.')
    size, index = said["size"], said["index"]
    if index <= 0:
        return MOST_ROWS, 0, True
    if not 1 <= size <= MOST_ROWS or index > 10**6:
        raise invalid("pager", f"size must be from 1 to {MOST_ROWS}, index at most 1000000.")
    return size, size * (index - 1), False


def answer(question: Question, found: dict[str, Any]) -> dict[str, Any]:
    """Return headers and data, all of it text, from the content of our answer.

    Raises:
        Wrong: every row is wanted, and they are more than one answer holds.
    """
    if question.whole and found["totalRows"] > MOST_ROWS:
        detail = f"There are {found['totalRows']} rows, {MOST_ROWS} at most in one answer: ask page by page."
        raise Wrong(400, "queryTooLarge", detail)
    data = [[_text(question, word, row[name]) for word, name in question.columns] for row in found["rows"]]
    return {"headers": [word for word, _ in question.columns], "data": data}


def _text(question: Question, word: str, value: Any) -> str:
    if word in TIMES:
        size, form = TIMES[word]
        local = value + question.zone.seconds
        return datetime.fromtimestamp(local - local % size, UTC).strftime(form)
    if isinstance(value, str):
        return value
    # Theirs wrote NaN and Infinity where there is no value.
    return "" if value is None else str(float(value))
