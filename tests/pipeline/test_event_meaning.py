"""The meaning of every request of the catalogue, one case a line."""

from __future__ import annotations

import pytest

from pipeline.amounts import Amounts
from pipeline.catalog import DISTINCT, METRICS, EventType
from pipeline.event import Event, EventReader, Rejected, read_event
from pipeline.windows import HOUR_S, PEAK, SKETCH, SLOT_S, Row
from tests.pipeline.lines import event_of, line_of
from tests.pipeline.meanings import BASE, CASES, Case, Outcome, changed

_COUNTED = {Outcome.COUNT, Outcome.CLAMP, Outcome.DUP, Outcome.SEG}
_KNOWN = {int(kind) for kind in EventType}


def _read(case: Case, record_id: str = "i-2") -> Event | str:
    try:
        return read_event(line_of(case, record_id))
    except Rejected as rejected:
        return rejected.reason.value


def _named(outcomes: set[Outcome]) -> list[object]:
    return [pytest.param(case, id=f"{case.row} {case.name}"[:70]) for case in CASES if case.outcome in outcomes]


@pytest.mark.parametrize("case", _named(_COUNTED))
def test_an_event_that_counts_adds_these_amounts(case: Case) -> None:
    event = _read(case)
    assert isinstance(event, Event)
    # That a view buffered at all is counted beside how long.
    buffered = {"bufferedViews": 1} if case.counts.get("bufferTime") else {}
    assert (event.type in _KNOWN, event.amounts, event.bad) == (True, case.counts | buffered, case.bad)


@pytest.mark.parametrize("case", _named({Outcome.KEEP}))
def test_an_event_that_is_kept_adds_to_no_play_view_or_buffer_time(case: Case) -> None:
    event = _read(case)
    assert isinstance(event, Event)
    assert event.amounts in ({}, {"buttonClicks": 1}, {f"event{event.type}": 1})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("97", "event97"),
        ("10099", "event10099"),
        ("19999", "event19999"),
        ("20000", "eventOther"),
        ("99999", "eventOther"),
        ("999999999", "eventOther"),
    ],
)
def test_a_type_that_the_catalog_does_not_name_is_counted_by_its_number_or_with_all_others(
    kind: str, name: str
) -> None:
    event = event_of(changed(eventType=kind))
    assert (event.type, event.amounts) == (int(kind), {name: 1})


def test_a_row_of_every_type_that_anybody_may_invent_is_one_that_kafka_takes() -> None:
    amounts = Amounts(METRICS, EventReader()._finder.names)
    added = {name for kind in range(100_000) for name in amounts.of(kind)[1]}
    slots = {f"{PEAK}{slot}" for slot in range(HOUR_S // SLOT_S)}
    counts = dict.fromkeys({*added, *slots, *(metric.name for metric in METRICS)}, 99_999)
    sketches = {f"{SKETCH}{one.name}": "A" * 5_000 for one in DISTINCT}
    assert len(Row((0, 0, 0, ()), b"", counts, 10**15, sketches).value()) < 400_000


@pytest.mark.parametrize("case", _named({Outcome.QUAR}))
def test_what_cannot_be_understood_names_its_reason(case: Case) -> None:
    assert _read(case) == case.reason


@pytest.mark.parametrize("case", _named({Outcome.DUP}))
def test_a_repeat_has_the_identity_of_the_base_beacon(case: Case) -> None:
    assert _read(case).identity == _read(BASE).identity  # type: ignore[union-attr]


@pytest.mark.parametrize("case", _named({Outcome.SEG}))
def test_another_event_has_another_identity(case: Case) -> None:
    assert _read(case).identity != _read(BASE).identity  # type: ignore[union-attr]


@pytest.mark.parametrize("case", _named({Outcome.COUNT}))
def test_an_entry_id_is_shown_as_it_was_sent(case: Case) -> None:
    import json

    event = _read(case)
    assert isinstance(event, Event)
    wanted = "z" if "entryId=z" in case.query else case.entry
    assert (json.loads(event.entry), event.partner) == (wanted, "4242")


def test_every_reason_and_outcome_of_meaning_is_in_the_catalogue() -> None:
    assert {case.outcome for case in CASES} == set(Outcome)
    assert {case.reason for case in CASES if case.reason} == {
        "bad_partner",
        "long_session",
        "long_entry",
        "unreadable_body",
    }
