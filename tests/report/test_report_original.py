"""POST /query in the original's words: what each of them becomes, and what is refused by which kind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import EventType
from pipeline.report import moment
from pipeline.report.original import Question, answer, parse
from pipeline.report.original_words import DIMENSION, FIELDS, MEASURE, TIMES, Wrong
from pipeline.report.problem import NOTHING, Refused
from pipeline.report.sql import statement
from pipeline.report.words import METRIC_WORDS, MOST_ROWS, Bucket

# 2026-11-23 10:00 UTC.
T = 1_795_428_000
ASKED: dict[str, Any] = {
    "from": "11/23/2026 10:00",
    "to": "11/23/2026 12:00",
    "dimensions": ["entry"],
    "filters": [],
    "metrics": ["play"],
    "utcOffset": 0,
    "orderBy": "",
    "pager": {"size": 25, "index": 1},
}


def ask(partner: str | None = None, now: int = T, **said: Any) -> Question:
    return parse(ASKED | said, partner, now)


def refusal(partner: str | None = None, **said: Any) -> tuple[int, str]:
    with pytest.raises(Wrong) as wrong:
        ask(partner, **said)
    assert wrong.value.content["data"]["message"]  # type: ignore[index]
    return wrong.value.status, str(wrong.value.content["kind"])


def test_a_question_becomes_a_query_of_ours() -> None:
    question = ask(filters=[{"dimension": "partner", "values": ["7", "8"]}], metrics=["play", "view"], orderBy="-view")
    query = question.query
    assert (query.since, query.until, query.shape.window.name) == (T, T + 7200, "1h")
    assert (query.shape.by, query.shape.filters) == (("entryId",), (("partnerId", ("7", "8")),))
    assert query.shape.metrics == ("plays", "views")
    assert [(one.word, one.descending) for one in query.shape.order] == [("views", True), ("entryId", False)]
    assert question.columns == (("entry", "entryId"), ("play", "plays"), ("view", "views"))


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_needed(name: str) -> None:
    with pytest.raises(Wrong) as wrong:
        parse({key: value for key, value in ASKED.items() if key != name}, None, T)
    assert wrong.value.content["data"]["field"] == name  # type: ignore[index]


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ({"more": 1}, 400, "invalidInput"), ({"from": "2026-11-23"}, 400, "invalidInput"),
        ({"from": "13/40/2026 10:00"}, 400, "invalidInput"), ({"to": "11/23/2026 10:00"}, 400, "invalidInput"),
        ({"from": None}, 400, "invalidInput"), ({"utcOffset": "120"}, 400, "invalidInput"),
        ({"utcOffset": True}, 400, "invalidInput"), ({"utcOffset": 900}, 400, "invalidInput"),
        ({"from": "01/01/1970 00:00", "utcOffset": 60}, 400, "invalidInput"),
        ({"to": "11/20/2286 17:47"}, 400, "invalidInput"),
        ({"from": "12/31/9999 22:00", "to": "12/31/9999 23:00", "utcOffset": -840}, 400, "invalidInput"),
        ({"dimensions": "entry"}, 400, "invalidInput"), ({"dimensions": ["entry", "entry"]}, 400, "invalidInput"),
        ({"dimensions": ["category"]}, 400, "unsupportedDimension"),
        ({"dimensions": ["month"]}, 400, "unsupportedDimension"), ({"dimensions": ["x"]}, 400, "unsupportedDimension"),
        ({"metrics": []}, 400, "invalidInput"), ({"metrics": ["plais"]}, 400, "unsupportedMetric"),
        ({"metrics": ["segmentsWatched"]}, 400, "unsupportedMetric"), ({"metrics": ["6"]}, 400, "unsupportedMetric"),
        ({"orderBy": "-view"}, 400, "unsupportedOrderBy"), ({"orderBy": None}, 400, "invalidInput"),
        ({"pager": {"size": 0, "index": 1}}, 400, "invalidInput"), ({"pager": {"size": 1}}, 400, "invalidInput"),
        ({"pager": {"size": MOST_ROWS + 1, "index": 1}}, 400, "invalidInput"),
        ({"filters": {"partner": "7"}}, 400, "invalidInput"),
        ({"filters": [{"dimension": "entry"}]}, 400, "invalidInput"),
        ({"filters": [{"dimension": "entry", "values": []}]}, 400, "invalidInput"),
        ({"filters": [{"dimension": "hour", "values": ["1"]}]}, 400, "invalidInput"),
        ({"filters": [{"dimension": "what", "values": ["1"]}]}, 400, "unsupportedDimension"),
        ({"filters": [{"dimension": ["entry"], "values": ["1"]}]}, 400, "invalidInput"),
        ({"filters": 2 * [{"dimension": "entry", "values": ["1"]}]}, 400, "invalidInput"),
        ({"dimensions": ["browser", "country"]}, 404, "unsupportedQuery"),
        ({"dimensions": ["browser", "tenSeconds"]}, 404, "unsupportedQuery"),
        ({"dimensions": ["minute"], "from": "10/23/2026 10:00"}, 404, "unsupportedQuery"),
        ({"dimensions": ["minute"], "from": "11/22/2026 10:00", "to": "12/22/2026 10:00"}, 400, "queryTooLarge"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_kind(said: dict[str, Any], status: int, kind: str) -> None:
    assert refusal(**said) == (status, kind)


@pytest.mark.parametrize("said", [None, [], 7, "x"])
def test_only_an_object_is_a_question(said: Any) -> None:
    with pytest.raises(Wrong):
        parse(said, None, T)


def test_a_key_of_a_partner_adds_its_filter_and_another_partner_is_nothing() -> None:
    assert ask("7").query.shape.filters == (("partnerId", ("7",)),)
    with pytest.raises(Refused) as refused:
        ask("7", filters=[{"dimension": "partner", "values": ["7", "8"]}])
    assert refused.value.problem is NOTHING


@pytest.mark.parametrize(
    ("dimensions", "offset", "start", "window", "bucket"),
    [
        ([], 0, "10:00", "1h", Bucket.WINDOW), ([], 0, "10:30", "1m", Bucket.WINDOW),
        (["hour"], 0, "10:00", "1h", Bucket.WINDOW), (["hour"], 120, "10:00", "1h", Bucket.WINDOW),
        (["hour"], 330, "10:30", "1m", Bucket.HOUR), (["hour"], 0, "10:30", "1m", Bucket.HOUR),
        (["day"], 0, "10:00", "1h", Bucket.DAY), (["day"], 330, "10:30", "1m", Bucket.DAY),
        (["minute"], 0, "10:00", "1m", Bucket.WINDOW), (["tenSeconds"], 0, "10:00", "10s", Bucket.WINDOW),
        (["day", "minute"], 0, "10:00", "1m", Bucket.WINDOW),
    ],
)  # fmt: skip
def test_the_coarsest_window_that_the_range_is_made_of_answers(
    dimensions: list[str], offset: int, start: str, window: str, bucket: Bucket
) -> None:
    question = ask(
        dimensions=dimensions, utcOffset=offset, **{"from": f"11/23/2026 {start}", "to": f"11/23/2026 20:{start[3:]}"}
    )
    assert (question.query.shape.window.name, question.query.shape.bucket) == (window, bucket)
    assert statement(question.query).sums == ("plays",)


@given(st.integers(-840, 840))
def test_times_are_local_to_the_offset(minutes: int) -> None:
    question = ask(utcOffset=minutes, dimensions=["minute"], **{"to": "11/23/2026 10:02"})
    assert (question.query.since, question.query.until) == (T - 60 * minutes, T - 60 * minutes + 120)
    zone = moment.zone("tz", question.query.shape.tz)
    assert moment.offset_at(T, zone) == 60 * minutes
    assert moment.day_start(moment.day_number(T, zone), zone) <= T
    found = {"rows": [{"time": question.query.since, "plays": 2}], "totalRows": 1}
    assert answer(question, found)["data"] == [["11/23/2026 10:00", "2.0"]]


def test_times_are_written_by_their_dimension() -> None:
    question = ask(dimensions=["day", "hour", "minute", "tenSeconds"], **{"to": "11/23/2026 10:01"})
    found = {"rows": [{"time": T + 50, "plays": 0}], "totalRows": 1}
    assert answer(question, found) == {
        "headers": ["day", "hour", "minute", "tenSeconds", "play"],
        "data": [["11/23/2026", "11/23/2026 10:00", "11/23/2026 10:00", "11/23/2026 10:00:50", "0.0"]],
    }


def test_no_value_is_an_empty_text_and_text_stays_as_it_is() -> None:
    question = ask(metrics=["playRatio"])
    found = {"rows": [{"entryId": "a;b|c", "playRate": None}, {"entryId": "", "playRate": 0.5}], "totalRows": 2}
    assert answer(question, found)["data"] == [["a;b|c", ""], ["", "0.5"]]


def test_a_bare_order_is_descending_and_a_sign_says_which() -> None:
    orders = [ask(orderBy=said).query.shape.order[0] for said in ("play", "-play", "+play", "+entry")]
    assert [(one.word, one.descending) for one in orders] == [
        ("plays", True), ("plays", True), ("plays", False), ("entryId", False),
    ]  # fmt: skip


def test_pages_are_counted_from_one_and_an_index_of_zero_is_all_or_refused() -> None:
    shape = ask(pager={"size": 10, "index": 3}).query.shape
    assert (shape.limit, shape.offset) == (10, 20)
    everything = ask(pager={"size": 10, "index": 0})
    assert (everything.query.shape.limit, everything.query.shape.offset) == (MOST_ROWS, 0)
    with pytest.raises(Wrong) as wrong:
        answer(everything, {"rows": [], "totalRows": MOST_ROWS + 1})
    assert wrong.value.content["kind"] == "queryTooLarge"


def test_every_word_of_theirs_is_one_of_ours() -> None:
    assert set(MEASURE.values()) <= set(METRIC_WORDS)
    assert MEASURE[str(int(EventType.PAUSE))] == "pauses"
    for theirs in ("play", "view", "playerImpression", "averageViewDropOff", "bufferingTime", "averageActualBitrate"):
        assert ask(metrics=[theirs]).query.shape.metrics == (MEASURE[theirs],)
    assert not set(DIMENSION) & set(TIMES)


def test_the_nearest_sets_are_named_where_none_fits() -> None:
    with pytest.raises(Wrong) as wrong:
        ask(dimensions=["browser", "country"])
    assert ["partner", "browser"] in wrong.value.content["data"]["supported"]  # type: ignore[index]
