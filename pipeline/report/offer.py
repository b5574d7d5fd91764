"""What there is to ask for, for machines: `/v1/catalog`, made from the catalog's lines and nothing else."""

from __future__ import annotations

from typing import Any

from pipeline.catalog import (
    AUDIENCE_PEAK,
    DIMENSIONS,
    DISTINCT,
    SETS,
    WINDOWS,
    Adds,
    Derived,
    Distinct,
    EventType,
    Metric,
    Peak,
)
from pipeline.report.cell import ENTRY, EXPLAINED_DIMENSIONS, EXPLAINED_WORDS, MOST_SHOWN
from pipeline.report.words import (
    BY_WORDS,
    DERIVED_METRIC,
    DIMENSION_OF,
    DISTINCT_METRIC,
    METRIC,
    MOST_BUCKETS,
    MOST_ROWS,
    MOST_VALUES,
    PARTNER,
    counts_sessions,
    short,
    unit_of,
)
from pipeline.sketch import CONFIDENCE, ERROR

Json = dict[str, Any]
_ESTIMATE: Json = {"error": ERROR, "confidence": CONFIDENCE}


def formula_of(metric: Metric) -> str:
    """Return how a kept metric is counted, in one line."""
    types = ", ".join(str(int(kind)) for kind in metric.types)
    events, any_event = (f"events {types}", f"an event {types}") if types else ("all events", "any event")
    said = {
        Adds.ONE: f"count of {events}",
        Adds.VALUE: f"sum of {metric.parameter} over {events}",
        Adds.HAVING: f"count of {events} with {metric.parameter} > 0",
        Adds.LACKING: f"count of {events} without {metric.parameter}, or where it is 1 or 3",
        Adds.SESSION: f"count of distinct sessions with {any_event} in the window",
        Adds.WATCHED: f"sum over segments of the largest {metric.parameter}",
    }
    return said.get(metric.adds, metric.says)


def derived_formula_of(metric: Derived) -> str:
    """Return how a derived metric is worked out, from metrics as they are kept: times in ms."""
    over = _terms(metric.over)
    if not metric.under:
        return over if metric.per == 1 else f"{over} / {metric.per}"
    under = _terms(metric.under)
    return f"{over} / {under}" if metric.per == 1 else f"{over} / ({under} × {metric.per})"


def _terms(terms: tuple[tuple[int, str], ...]) -> str:
    text = ""
    for factor, name in terms:
        sign = (" - " if factor < 0 else " + ") if text else ("-" if factor < 0 else "")
        text += sign + (name if abs(factor) == 1 else f"{abs(factor)} × {name}")
    return text if len(terms) == 1 else f"({text})"


def _kept(name: str, one: Metric) -> Json:
    return {
        "name": name,
        "unit": unit_of(name),
        "kept": True,
        "says": one.says,
        "formula": formula_of(one),
        "adds": str(one.adds),
        "eventTypes": [int(kind) for kind in one.types],
        "parameter": one.parameter,
        "addsUp": not counts_sessions(name),
        "explained": name in EXPLAINED_WORDS,
    } | ({"estimate": _ESTIMATE} if name in DISTINCT_METRIC else {})


def _told(one: Peak | Distinct, formula: str) -> Json:
    return {
        "name": one.name,
        "unit": unit_of(one.name),
        "kept": False,
        "says": one.says,
        "formula": formula,
        "addsUp": False,
        "explained": False,
    } | ({"estimate": _ESTIMATE} if one.name in DISTINCT_METRIC else {})


def _derived(name: str, one: Derived) -> Json:
    return {
        "name": name,
        "unit": unit_of(name),
        "kept": False,
        "says": one.says,
        "formula": derived_formula_of(one),
        "over": [{"factor": factor, "metric": metric} for factor, metric in one.over],
        "under": [{"factor": factor, "metric": metric} for factor, metric in one.under],
        "per": one.per,
        "addsUp": False,
        "explained": name in EXPLAINED_WORDS,
    }


def catalog() -> Json:
    """Return what there is to ask for."""
    return {
        "windows": [{"name": one.name, "seconds": one.seconds, "keepSeconds": one.keep_seconds} for one in WINDOWS],
        "metrics": [
            *(_kept(name, one) for name, one in METRIC.items()),
            _told(AUDIENCE_PEAK, f"maximum over 10 s windows of {AUDIENCE_PEAK.of}, partitions added up"),
            *(_told(one, f"distinct {one.name}, by sketches") for one in DISTINCT if one.name not in METRIC),
            *(_derived(name, one) for name, one in DERIVED_METRIC.items()),
        ],
        "sets": [
            {
                "name": one.name,
                "dimensions": list(one.dimensions),
                "windows": [window.name for window in WINDOWS if one.keeps(window)],
                "most": one.most,
                "carried": one.carried,
                "peaks": one.peaks,
                "sketches": list(one.sketches),
            }
            for one in SETS
        ],
        "dimensions": [
            {
                "name": one.name,
                "word": short(one.name),
                "source": one.source,
                "says": one.says,
                "kept": one.name in DIMENSION_OF,
                "explained": one.name in (PARTNER, ENTRY) or one.name in EXPLAINED_DIMENSIONS,
            }
            for one in DIMENSIONS
        ],
        "eventTypes": [{"id": int(kind), "name": kind.name.lower()} for kind in EventType],
        "by": list(BY_WORDS),
        "bounds": {"rows": MOST_ROWS, "windows": MOST_BUCKETS, "values": MOST_VALUES, "beacons": MOST_SHOWN},
    }
