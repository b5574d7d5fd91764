"""What a query string asks for, and how unknown words are refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import WINDOWS
from pipeline.report.moment import Moment
from pipeline.report.problem import Refused
from pipeline.report.query import Asked, Order, Query, Shape, parse
from pipeline.report.querystring import split
from pipeline.report.words import (
    BY_WORDS,
    METRIC,
    METRIC_WORDS,
    PARAMETER_WORDS,
    WINDOW,
    Bucket,
    Compare,
    Fill,
    Format,
    Times,
)


def refusal(text: str, partner: str | None = None, now: int = 1_795_424_461) -> tuple[int, str, str | None]:
    with pytest.raises(Refused) as refused:
        parse(text, partner).at(now)
    problem = refused.value.problem
    return problem.status, problem.name, problem.more.get("parameter")


def test_a_whole_query_becomes_a_whole_value() -> None:
    text = (
        "window=10s&from=100&to=205&by=entry,time&metrics=plays,playRate&partnerId=7&entryId=b,a&order=-plays"
        "&limit=5&offset=2&tz=Europe/Berlin&bucket=hour&fill=none&compare=previous&times=iso&format=csv"
    )
    shape = Shape(
        window=WINDOWS[0],
        by=("time", "partnerId", "entryId"),
        filters=(("entryId", ("a", "b")), ("partnerId", ("7",))),
        metrics=("plays", "playRate"),
        order=(Order("plays", True), Order("time", False), Order("partnerId", False), Order("entryId", False)),
        limit=5,
        offset=2,
        tz="Europe/Berlin",
        bucket=Bucket.HOUR,
        fill=Fill.NONE,
        compare=Compare.PREVIOUS,
        format=Format.CSV,
        times=Times.ISO,
    )
    asked = parse(text, None)
    assert asked == Asked(shape, Moment(100, relative=False), Moment(205, relative=False))
    # [100, 205)   rows start at  100 | 110 | ... | 200        whole windows: [100, 210)
    assert asked.at(0) == Query(shape, 100, 210)


def test_nothing_asked_is_the_last_hour_of_minutes_by_time_in_all_kept_metrics() -> None:
    asked = parse("", "7")
    assert (asked.shape.window.name, asked.shape.by, asked.shape.metrics) == ("1m", ("time",), tuple(METRIC))
    assert asked.shape.filters == (("partnerId", ("7",)),)
    # now = 3661: [61, 3661) -> rows that start at 120, 180, ... 3660
    assert (asked.at(3661).since, asked.at(3661).until) == (120, 3720)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metric=plays", (400, "unknown-word", "parameter")),
        ("metrics=plais", (400, "unknown-word", "metrics")),
        ("metrics=", (400, "unknown-word", "metrics")),
        ("by=planet", (400, "unknown-word", "by")),
        ("by=country&window=10s", (400, "bad-value", "by")),
        ("order=-country", (400, "unknown-word", "order")),
        ("by=time&order=entry", (400, "unknown-word", "order")),
        ("window=5m", (400, "unknown-word", "window")),
        ("bucket=week", (400, "unknown-word", "bucket")),
        ("fill=null", (400, "unknown-word", "fill")),
        ("compare=next", (400, "unknown-word", "compare")),
        ("format=xml", (400, "unknown-word", "format")),
        ("tz=Moon", (400, "unknown-word", "tz")),
        ("limit=0", (400, "bad-value", "limit")),
        ("limit=1_000", (400, "bad-value", "limit")),
        ("limit=50001", (400, "bad-value", "limit")),
        ("offset=-1", (400, "bad-value", "offset")),
        ("limit=1&limit=2", (400, "bad-value", "limit")),
        ("from=200&to=100", (400, "bad-value", "from")),
        ("from=100&to=100", (400, "bad-value", "from")),
        ("fill=zero&by=time,entry", (400, "bad-value", "fill")),
        ("window=10s&from=0&to=1795424461", (422, "too-large", None)),
        ("entryId=" + ",".join(map(str, range(501))), (422, "too-large", None)),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text: str, expected: tuple[int, str, str | None]) -> None:
    assert refusal(text) == expected


def test_an_unknown_word_is_answered_with_the_allowed_ones() -> None:
    with pytest.raises(Refused) as refused:
        parse("metrics=plays,viws", None)
    more = {"parameter": "metrics", "word": "viws", "allowed": list(METRIC_WORDS)}
    assert refused.value.problem.more == more


@pytest.mark.parametrize("text", ["partnerId=8", "partnerId=7,8", "partnerId=7&partnerId=8", "partnerId="])
def test_another_partner_is_nothing(text: str) -> None:
    assert refusal(text, partner="7") == (404, "nothing-here", None)


def test_the_own_partner_may_be_named() -> None:
    assert parse("partnerId=7", "7") == parse("", "7")


@given(st.lists(st.text(), min_size=1))
def test_values_with_commas_and_backslashes_come_through_a_list(values: list[str]) -> None:
    written = ",".join(value.replace("\\", "\\\\").replace(",", "\\,") for value in values)
    assert split(written) == values


words = st.sampled_from([*PARAMETER_WORDS, *METRIC_WORDS, *BY_WORDS, *WINDOW, "now-1h", "zero", "previous", "-plays"])


@given(
    st.lists(st.tuples(words | st.text(max_size=8), words | st.text(max_size=8)), max_size=6),
    st.sampled_from([None, "7"]),
)
def test_any_text_is_a_query_or_a_refusal(pairs: list[tuple[str, str]], partner: str | None) -> None:
    text = "&".join(f"{quote(name)}={quote(value, safe=',')}" for name, value in pairs)
    try:
        asked = parse(text, partner)
        query = asked.at(1_795_424_461)
    except Refused as refused:
        assert refused.problem.status in (400, 404, 422)
        return
    assert query.since <= query.until
    assert query.since % query.shape.window.seconds == 0
    assert partner is None or dict(query.shape.filters)["partnerId"] == (partner,)


@given(st.integers(0, 10**9), st.integers(1, 10**5), st.integers(1, 10**5))
def test_ranges_that_meet_share_no_window_and_leave_none_out(since: int, first: int, second: int) -> None:
    # [since, middle) + [middle, until) = [since, until)
    middle, until = since + first, since + first + second
    left, right, both = (
        parse(f"window=1m&from={a}&to={b}", None).at(0) for a, b in ((since, middle), (middle, until), (since, until))
    )
    assert (left.since, left.until, right.until) == (both.since, right.since, both.until)


def test_a_download_is_whole_unless_a_part_is_asked_for() -> None:
    asked = [("", ""), ("format=csv", ""), ("", "text/csv"), ("format=json", "text/csv"), ("limit=5", "text/csv")]
    limits = [parse(text, None, accept).shape.limit for text, accept in asked]
    assert limits == [1000, 50_000, 50_000, 1000, 5]


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("from=now/d", 1_795_392_000, (1_795_392_000, 1_795_392_060)),
        ("from=now/h&window=1h", 1_795_424_400, (1_795_424_400, 1_795_428_000)),
        ("from=1795424461", 1_795_424_461, (1_795_424_520, 1_795_424_520)),
        ("from=now/h&window=10s", 1_795_424_401, (1_795_424_400, 1_795_424_410)),
    ],
)
def test_a_day_or_an_hour_that_begins_this_second_has_its_first_window(
    text: str, now: int, expected: tuple[int, int]
) -> None:
    query = parse(text, None).at(now)
    assert (query.since, query.until) == expected


@pytest.mark.parametrize("text", ["from=5&to=5", "from=now&to=now", "from=now/h&to=now/h", "from=now&to=now-1s"])
def test_a_range_that_never_holds_a_second_is_refused(text: str) -> None:
    assert refusal(text, now=1_795_424_400) == (400, "bad-value", "from")
