"""Parameters found by the form of a query are those that an independent reading finds."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import forms
from pipeline.forms import Finder, picker

NAMES = ("eventType", "entryId", "sessionId", "a.b", "a")


def plainly(query: str) -> tuple[str | None, ...]:
    """Read a query as the words say: of a name given twice the first, a pair without `=` is none."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if equals:
            found.setdefault(name, value)
    return tuple(found.get(name) for name in NAMES)


def taught(*queries: str) -> Finder:
    """Return a finder that has learned the forms of these queries."""
    finder = Finder(NAMES)
    for query in queries:
        for _ in range(forms.PATIENCE << 4):
            finder.find(query)
    return finder


PIECES = st.sampled_from([*NAMES, "x", "", "aXb", "=", "==", "!", "\n", "%26", "é", "1_abc", "sessionId=", "a=1"])
QUERIES = st.lists(st.lists(PIECES, max_size=3).map("".join) | st.tuples(PIECES, PIECES).map("=".join), max_size=6).map(
    "&".join
)


@given(st.lists(QUERIES, min_size=1, max_size=5), st.lists(QUERIES, max_size=5))
def test_whatever_forms_are_known_the_values_are_those_of_a_plain_reading(learned: list[str], asked: list[str]) -> None:
    finder = taught(*learned)
    for query in (*learned, *asked):
        assert finder.find(query) == plainly(query), query


@given(st.integers(0, 8), st.lists(QUERIES, min_size=1, max_size=5), st.lists(QUERIES, max_size=5))
def test_whatever_queries_begin_alike_the_values_are_those_of_a_plain_reading(
    begin: int, learned: list[str], asked: list[str]
) -> None:
    with patch.object(forms, "BEGIN", begin), patch.object(forms, "MOST_BEGINS", 2):
        finder = taught(*learned)
        for query in (*learned, *asked, *learned):
            assert finder.find(query) == plainly(query), query


def test_two_forms_that_begin_alike_are_told_apart_by_their_pairs() -> None:
    alike = "x=" + "1" * forms.BEGIN
    short, long = f"{alike}&eventType=3", f"{alike}&eventType=3&entryId=1"
    finder = taught(short, long)
    assert finder.find(short) == plainly(short)
    assert finder.find(long) == plainly(long)
    assert finder._by_begin == {alike[: forms.BEGIN]: None}


def test_what_begins_as_a_known_query_is_found_without_counting_its_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = taught("eventType=3&x=1")
    monkeypatch.setattr(finder, "_search", None)
    assert finder.find("eventType=3&x=1") == ("3", None, None, None, None)


def test_of_what_queries_begin_with_no_more_is_remembered_than_the_bound() -> None:
    finder = taught("eventType=3&x=1")
    for number in range(forms.MOST_BEGINS + 10):
        finder.find(f"eventType={number}&x=1")
    assert len(finder._by_begin) < forms.MOST_BEGINS


@pytest.mark.parametrize(
    "asked",
    [
        "eventType=3&entryId=1&sessionId=s",
        "eventType=3&sessionId=s&entryId=1",
        "eventType=3&entryId=1&sessionId=s!",
        "eventType=3&entryId=1&entryId=2",
        "eventType=&entryId==&sessionId=a=b",
        "eventType=3&entryId=1&sessionId",
        "eventType=3&&sessionId=s",
        "xeventType=3&entryId=1&sessionId=s",
    ],
)
def test_a_query_that_only_resembles_a_known_form_is_not_taken_for_it(asked: str) -> None:
    assert taught("eventType=99&entryId=1_x&sessionId=abc").find(asked) == plainly(asked)


def test_a_form_is_learned_after_some_queries_and_then_looked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = taught("eventType=3&x=1")
    monkeypatch.setattr(finder, "_pairs", None)
    assert finder.find("eventType=99&x=") == ("99", None, None, None, None)


def test_ever_new_forms_are_not_all_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[str] = []
    form_of = forms.form_of
    monkeypatch.setattr(forms, "form_of", lambda query, names: learned.append(query) or form_of(query, names))
    finder = Finder(NAMES)
    for number in range(10_000):
        finder.find(f"name{number}=1&eventType=3")
    # 8 + 16 + 32 + ... of them; each costs a millisecond.
    assert len(learned) == 10
    assert [len(known) for known in finder._forms.values()] == [forms.MOST_FORMS]


def test_long_queries_and_those_of_many_pairs_teach_nothing() -> None:
    finder = taught("&".join(["a=1"] * 100), "a=" + "1" * forms.MOST_CHARACTERS)
    assert not finder._forms


@pytest.mark.parametrize("places", [[], [0], [2], [0, 1], [1, 2], [2, 0], [0, 2]])
def test_a_picker_gives_a_tuple_of_the_values_at_its_places(places: list[int]) -> None:
    assert picker(places)(("a", "b", "c")) == tuple("abc"[place] for place in places)


def test_the_comparison_turns_red_for_a_form_whose_names_are_taken_for_patterns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forms.re, "escape", str)
    assert taught("a.b=1").find("aXb=1") != plainly("aXb=1")
