"""The probe's known set is what the worker's rule makes of it, and an answer of the report is judged by it alone."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.app import rules_of
from pipeline.commands.known import Outcome, Place, judge, known_set, next_round, rows_of
from pipeline.commands.recount import Range, Recount
from pipeline.config import LineSettings, WorkerSettings

MINUTE = 29_923_680
START = MINUTE * 60
ENTRIES = {(START, "p-a"): (2, 2, 1500), (START, "p-b"): (1, 1, 750)}


def answer(rows: dict[Place, tuple[int, int, int]], through: float | None) -> dict[str, Any]:
    shown = [
        {"time": start, "entryId": entry, "plays": plays, "views": views, "bufferTime": buffer_ms / 1000}
        for (start, entry), (plays, views, buffer_ms) in rows.items()
    ]
    return {"rows": shown, "countedThrough": through}


def as_stored(number: int, second: int, parameters: dict[str, str], form: str) -> bytes:
    query, body, kind = urlencode(parameters), "", ""
    if form != "query":
        query = "service=analytics&action=trackEvent"
        rest = {name: value for name, value in parameters.items() if name not in ("service", "action")}
        body = json.dumps(rest) if form == "json" else urlencode(rest)
        kind = "application/json" if form == "json" else "application/x-www-form-urlencoded"
    path = b"/api_v3/index.php"
    return encode(
        Beacon(
            f"b{number}", second * 1000, path=path, query=query.encode(), content_type=kind.encode(), body=body.encode()
        )
    )


@pytest.mark.parametrize("dedupe_by", ["segment", "pair"])
@pytest.mark.parametrize("times_sent", [1, 2])
def test_the_rows_of_the_set_are_those_that_the_rule_of_the_line_gives(dedupe_by: Any, times_sent: int) -> None:
    rules = rules_of(LineSettings(), WorkerSettings(dedupe_by=dedupe_by))
    recount = Recount(rules, Range(0, 2**40))
    sends = known_set("9", "p", MINUTE, dedupe_by == "pair")
    seconds = [START + 20 + number for number in range(len(sends))]
    for number, (one, second) in enumerate(list(zip(sends, seconds, strict=True)) * times_sent):
        recount.take(as_stored(number, second, dict(one.parameters), one.form))
    names = [window.name for window in rules.shape.windows]
    by_entry = next(number for number, kept in enumerate(rules.shape.sets) if kept.set.name == "entry")
    counted = {
        (start, json.loads(values[1])): (row.get("plays", 0), row.get("views", 0), row.get("bufferTime", 0))
        for (index, number, start, values), row in recount.rows.items()
        if names[index] == "1m" and number == by_entry
    }
    assert counted == rows_of(sends, seconds)
    assert sum(plays for plays, _, _ in counted.values()) == (2 if dedupe_by == "pair" else 3)


def test_each_beacon_stands_in_the_minute_that_ingest_received_it_in() -> None:
    sends = known_set("9", "p", MINUTE, by_pair=False)
    assert rows_of(sends, [START + 59] * 6 + [START + 60] * 4) == {
        (START, "p-a"): (1, 2, 1500),
        (START + 60, "p-a"): (1, 0, 0),
        (START + 60, "p-b"): (1, 1, 750),
    }


def test_rounds_are_due_once_a_minute_and_never_twice() -> None:
    assert [next_round(START + second) for second in (0, 20, 20.1, 59)] == [
        START + 20,
        START + 20,
        START + 80,
        START + 80,
    ]


@pytest.mark.parametrize(
    ("rows", "through", "is_over", "outcome"),
    [
        (ENTRIES, START + 31.0, False, Outcome.EQUAL),
        # The rows are there and their repeats may still come.
        (ENTRIES, START + 30.9, False, None),
        (ENTRIES, None, True, Outcome.LATE),
        ({}, START + 30.0, False, None),
        ({}, START + 30.0, True, Outcome.LATE),
        # The report says that all is counted: after what clocks may differ by, or at the deadline, it is wrong.
        ({}, START + 35.0, False, None),
        ({}, START + 36.0, False, Outcome.WRONG),
        ({}, START + 32.0, True, Outcome.WRONG),
        # Too much never becomes right.
        (ENTRIES | {(START, "p-b"): (2, 1, 750)}, None, False, Outcome.WRONG),
        (ENTRIES | {(START, "p-b"): (1, 1, 749)}, None, False, None),
        # Another minute's rows are not of this set.
        (ENTRIES | {(START + 60, "p-b"): (5, 5, 5)}, START + 31.0, False, Outcome.EQUAL),
    ],
)
def test_an_answer_is_judged_by_its_rows_and_by_how_far_it_says_to_have_counted(
    rows: dict[Place, tuple[int, int, int]], through: float | None, is_over: bool, outcome: Outcome | None
) -> None:
    assert judge(ENTRIES, answer(rows, through), START + 30, is_over).outcome is outcome


def test_a_difference_is_said_in_full() -> None:
    rows = {(START, "p-a"): (3, 2, 1500)}
    assert judge(ENTRIES, answer(rows, None), START, is_over=False).difference == (
        f"p-a at {START}: 3 plays, must be 2; "
        f"p-b at {START}: 0 plays, must be 1, 0 views, must be 1, 0 ms of buffer time, must be 750"
    )
