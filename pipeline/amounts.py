"""What an event adds to the cell of its window: fixed amounts by its type, and amounts that it says as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pipeline.catalog import METRICS, Adds, EventType, Metric
from pipeline.dimensions import Remembered
from pipeline.forms import Values
from pipeline.parameters import decoded

# By metric name.
Counts = dict[str, int]
Names = tuple[str, ...]
# Place of a parameter among the values of an event, its name, scale and most, and the metrics that take its value, that
# count it where it is above zero, and that count it where it lacks.
Numeric = tuple[tuple[int, str, int, int, Names, Names, Names], ...]

DAY_MS = 86_400_000
MAX_KBPS = 10_000_000
UNKNOWN_TYPE = -1
# Numbers of types that the catalog does not name, kept apart in rows: more of them share one name. The vendor's end at
# 10,0xx; whoever invents some makes no row of over 400 kB: Kafka takes 1 MiB, and a row it refused would keep its
# partition from being counted for good.
MAX_TYPE = 19_999
KNOWN_TYPES = frozenset(int(kind) for kind in EventType)
# Characters of a number that is remembered: longer ones are no number that players say.
_SHORT = 16
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,30})?", re.ASCII)
_MILLISECONDS = frozenset(metric.parameter for metric in METRICS if metric.unit == "ms")
# What players say for an unknown bitrate or position (protocol.md section 3): absent, not bad.
_UNKNOWN_NUMBERS = frozenset({"", "-1", "null", "undefined", "NaN"})


class Amounts:
    """What events of each type add, from the catalog's metrics."""

    def __init__(self, metrics: Sequence[Metric], names: Sequence[str]) -> None:
        """Add to these metrics; `names`: of an event's values, in order."""
        self._metrics = metrics
        self._names = names
        self._known: Remembered[int, tuple[int, Counts, Numeric]] = Remembered()

    def of(self, kind: int) -> tuple[int, Counts, Numeric]:
        """Return an event type's number, what each such event adds, and what it adds by what it says."""
        known = self._known.get(kind)
        return known or self._known.remember(kind, (kind, self._fixed(kind), self._numeric(kind)))

    def _fixed(self, kind: int) -> Counts:
        if kind == UNKNOWN_TYPE:
            return {}
        if kind not in KNOWN_TYPES:
            return {f"event{kind}" if kind <= MAX_TYPE else "eventOther": 1}
        return {metric.name: 1 for metric in self._metrics if metric.adds is Adds.ONE and kind in metric.types}

    def _numeric(self, kind: int) -> Numeric:
        by_parameter: dict[tuple[str, int, int], list[Metric]] = {}
        for metric in self._metrics:
            if metric.parameter and kind in metric.types and metric.adds is not Adds.WATCHED:
                of_ms = metric.parameter in _MILLISECONDS
                scale, most = (1000, DAY_MS) if of_ms else (1, MAX_KBPS)
                by_parameter.setdefault((metric.parameter, scale, most), []).append(metric)
        return tuple(
            (
                self._names.index(asked[0]),
                *asked,
                _that_add(Adds.VALUE, metrics),
                _that_add(Adds.HAVING, metrics),
                _that_add(Adds.LACKING, metrics),
            )
            for asked, metrics in by_parameter.items()
        )


def _that_add(adds: Adds, metrics: Sequence[Metric]) -> Names:
    return tuple(metric.name for metric in metrics if metric.adds is adds)


def parameters_of_amounts(metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Return the parameters that say amounts of these metrics."""
    return tuple(dict.fromkeys(metric.parameter for metric in metrics if metric.parameter))


def with_numbers(fixed: Counts, numeric: Numeric, values: Values) -> tuple[Counts, tuple[str, ...]]:
    """Return the fixed amounts and those that the values say, and the parameters that were no usable number."""
    bad: tuple[str, ...] = ()
    amounts: Counts | None = None
    for place, parameter, scale, most, summed, having, lacking in numeric:
        text = values[place]
        if text is None:
            number = -1
        elif text == "0":
            # What nearly all of them say is not parsed.
            number = 0
        else:
            number = number_of(text, scale, most)
            if number < 0 and not (scale == 1 and text in _UNKNOWN_NUMBERS):
                bad += (parameter,)
        if number > 0:
            amounts = {**fixed} if amounts is None else amounts
            for name in summed:
                amounts[name] = number
            for name in having:
                amounts[name] = 1
        if lacking and number in (-1, 1, 3):
            amounts = {**fixed} if amounts is None else amounts
            for name in lacking:
                amounts[name] = 1
    return (fixed if amounts is None else amounts), bad


def number_of(text: str, scale: int, most: int) -> int:
    """Return a number times scale, rounded; -1 where the text is no number from 0 to most / scale."""
    # Players say the same short ones again and again: 0.15 us instead of 0.6. What is long is no text to keep.
    return _known_number(text, scale, most) if len(text) <= _SHORT else _number(text, scale, most)


def _number(text: str, scale: int, most: int) -> int:
    if "%" in text:
        text = decoded(text)
    if not _NUMBER.fullmatch(text):
        return -1
    number = round(float(text) * scale)
    return number if number <= most else -1


_known_number = lru_cache(16_384)(_number)
