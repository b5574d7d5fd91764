"""/v1/catalog: every metric with a formula that is true, every dimension, window, set and event type of the catalog."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import DERIVED, DIMENSIONS, METRICS, SETS, WINDOWS, Derived, EventType
from pipeline.report.answer import number
from pipeline.report.offer import catalog, derived_formula_of, formula_of
from pipeline.report.words import METRIC, METRIC_WORDS, sums_of

CATALOG = catalog()


def test_everything_of_the_catalog_is_there() -> None:
    assert {one["name"] for one in CATALOG["metrics"]} >= {one.name for one in (*METRICS, *DERIVED)}
    assert {one["name"] for one in CATALOG["metrics"]} <= {*METRIC_WORDS}
    assert [one["name"] for one in CATALOG["dimensions"]] == [one.name for one in DIMENSIONS]
    assert [one["name"] for one in CATALOG["sets"]] == [one.name for one in SETS]
    assert [(one["name"], one["keepSeconds"]) for one in CATALOG["windows"]] == [
        (one.name, one.keep_seconds) for one in WINDOWS
    ]
    assert {one["id"] for one in CATALOG["eventTypes"]} == {int(kind) for kind in EventType}


def test_every_number_says_what_it_is_of_what_unit_and_how_it_is_counted() -> None:
    for one in CATALOG["metrics"]:
        assert one["says"].endswith(".")
        assert one["unit"]
        assert len(one["formula"]) > 3, one["name"]
    kept = {one["name"] for one in CATALOG["dimensions"] if one["kept"]}
    assert kept == {name for one in SETS for name in one.dimensions}


def test_every_kind_of_metric_has_a_formula_of_its_own() -> None:
    by_kind = {metric.adds: formula_of(metric) for metric in METRICS}
    assert len(set(by_kind.values())) == len(by_kind)
    assert formula_of(METRIC["bufferTime"]) == "sum of bufferTime over events 99"
    assert formula_of(METRIC["sessions"]) == "count of distinct sessions with any event in the window"


@pytest.mark.parametrize("derived", DERIVED, ids=lambda one: one.name)
@given(data=st.data())
def test_a_derived_formula_is_what_is_worked_out(derived: Derived, data: st.DataObject) -> None:
    sums = {name: data.draw(st.integers(0, 10**6), name) for name in sums_of(derived.name)}
    formula = derived_formula_of(derived)
    value = number(derived.name, sums)
    if value is None:
        with_nothing = formula.partition(" / ")[2] or formula
        assert eval(with_nothing.replace("×", "*"), {}, sums) <= 0
    else:
        assert eval(formula.replace("×", "*"), {}, sums) == pytest.approx(value, abs=1e-6)
