"""What /v1/events is asked: every word that does not fit is refused by name."""

from __future__ import annotations

import pytest

from pipeline.report.cell import EXPLAINED_WORDS, MOST_SECONDS, parse_cell, query_of
from pipeline.report.problem import NOTHING, Refused
from pipeline.report.sql import statement
from pipeline.report.words import METRIC_WORDS

T = 1_795_424_400
ASKED = f"partnerId=7&entryId=x&window=1m&start={T}&metric=plays"

WHOLE = ASKED.replace("entryId=x&", "")


def refusal(text: str, partner: str | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        parse_cell(text, partner, T)
    return refused.value


def test_a_cell_is_what_its_words_say() -> None:
    cell = parse_cell(ASKED + "&before=5&after=7&limit=3", None, T)
    assert (cell.partner, cell.entry, cell.window.name, cell.start, cell.end) == ("7", "x", "1m", T, T + 60)
    assert (cell.metric, cell.before, cell.after, cell.limit) == ("plays", 5, 7, 3)


def test_an_owner_need_not_say_whose_and_may_not_ask_for_anothers() -> None:
    assert parse_cell(ASKED.replace("partnerId=7&", ""), "7", T).partner == "7"
    assert refusal(ASKED, "8").problem is NOTHING


def test_without_an_entry_it_is_the_partners_number_and_an_empty_one_is_an_entry() -> None:
    assert parse_cell(ASKED.replace("entryId=x&", ""), None, T).entry is None
    assert parse_cell(ASKED.replace("entryId=x", "entryId="), None, T).entry == ""


def test_a_cell_of_further_dimensions_is_read_by_those_alone_or_by_all_that_its_rows_carry() -> None:
    cell = parse_cell(WHOLE + "&device=tv&operatingSystem=", None, T)
    assert (cell.read, cell.carried) == (("device", "operatingSystem"), ())
    assert cell.filters == {"partnerId": "7", "device": "tv", "operatingSystem": ""}
    errors = parse_cell(WHOLE.replace("plays", "errors") + "&errorCode=7", None, T)
    assert (errors.read, errors.carried) == (("errorCode",), ("partnerId", "errorCode"))


def test_files_of_the_operator_are_said_to_be_why() -> None:
    assert "files of the operator" in refusal(WHOLE + "&country=DE").problem.detail


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        (ASKED.replace("partnerId=7&", ""), "partnerId"), (ASKED.replace("window=1m&", ""), "window"),
        (ASKED.replace("1m", "2m"), "window"), (ASKED.replace(f"start={T}&", ""), "start"),
        (ASKED.replace(str(T), str(T + 1)), "start"), (ASKED.replace(str(T), "soon"), "start"),
        (ASKED.replace("&metric=plays", ""), "metric"), (ASKED.replace("plays", "plais"), "metric"),
        (ASKED + "&metric=views", "metric"), (ASKED + "&before=-1", "before"),
        (ASKED + f"&after={MOST_SECONDS + 1}", "after"), (ASKED + "&limit=1001", "limit"),
        (ASKED + "&colour=red", "parameter"),
        # Files of the operator; a window that its set is not kept in; over the bound; sessions by half of a set.
        (ASKED + "&country=DE", "country"), (WHOLE + "&country=unknown&device=tv", "country"),
        (ASKED + "&browser=Firefox", "window"), (WHOLE.replace("1m", "10s") + "&device=tv", "window"),
        (WHOLE + "&browser=(other)", "browser"), (ASKED.replace("=x", "=(other)"), "entryId"),
        (WHOLE.replace("plays", "sessions") + "&operatingSystem=iOS", "metric"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_name(text: str, parameter: str) -> None:
    problem = refusal(text).problem
    assert (problem.status, problem.more["parameter"]) == (400, parameter)


def test_a_start_between_two_windows_is_refused_with_the_one_around_it() -> None:
    assert str(T) in refusal(ASKED.replace(str(T), str(T + 59))).problem.detail


@pytest.mark.parametrize("metric", EXPLAINED_WORDS)
def test_the_report_can_be_asked_for_every_number_that_is_explained(metric: str) -> None:
    query = query_of(parse_cell(ASKED.replace("plays", metric), None, T))
    assert (query.since, query.until, query.shape.metrics[0]) == (T, T + 60, metric)
    assert statement(query).sums
    assert metric in METRIC_WORDS
