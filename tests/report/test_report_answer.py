"""Answers as people and spreadsheets read them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import DERIVED
from pipeline.report import answer
from pipeline.report.accept import format_of, unchanged
from pipeline.report.answer import Freshness, Table
from pipeline.report.live import Version, change, event
from pipeline.report.problem import Refused
from pipeline.report.query import parse
from pipeline.report.revisions import Revisions
from pipeline.report.words import METRIC, Format

SUMS = dict.fromkeys(METRIC, 0) | {
    "plays": 8,
    "impressions": 16,
    "views": 30,
    "bufferTime": 1503,
    "quartile25": 6,
    "quartile100": 2,
}


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("plays", 8), ("bufferTime", 1.503), ("playRate", 0.5), ("bufferPerView", 0.0501), ("bufferingRatio", 0.00501),
        ("minutesWatched", 5.0), ("completionRate", 0.25), ("dropOff25", 0.25), ("dropOff50", 1.0), ("dropOff75", None),
    ],
)  # fmt: skip
def test_each_metric_in_the_unit_that_people_see(metric: str, value: float | None) -> None:
    assert answer.number(metric, SUMS) == value


def test_no_derived_metric_divides_by_zero() -> None:
    zero = dict.fromkeys(METRIC, 0)
    assert {one.name: answer.number(one.name, zero) for one in DERIVED} == {
        one.name: None if one.under else 0.0 for one in DERIVED
    }


def test_freshness_of_a_closed_window_no_longer_moves() -> None:
    assert answer.freshness(5000, 6000, 10) == Freshness(5000, 6000, 10)
    closed = Freshness(10_000, 10_000, 10)
    assert [answer.freshness(t, t, 10) for t in (10_000, 10_001, 99_000)] == [closed] * 3
    assert [one.complete for one in (closed, answer.freshness(9999, 10_000, 10), answer.freshness(None, None, 10))] == [
        True,
        False,
        False,
    ]


QUERY = parse("by=entry&metrics=plays,bufferTime,playRate&from=0&to=60", None).at(0)


def written(entry: str) -> list[list[str]]:
    table = Table(
        ("partnerId", "entryId"),
        ("plays", "bufferTime", "impressions"),
        [("7", entry, 2, 1500, 0)],
        1,
        (2, 1500, 0),
        None,
    )
    text = answer.csv_body(QUERY, answer.content(QUERY, table)).decode()
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("entry", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", '=HYPERLINK("x")', "＝1"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(entry: str) -> None:
    assert written(entry)[1] == ["7", f"'{entry}", "2", "1.500", ""]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_entry_comes_through_csv_as_one_cell(entry: str) -> None:
    rows = written(entry)
    assert rows[0] == ["partnerId", "entryId", "plays", "bufferTime", "playRate"]
    assert [len(row) for row in rows] == [5, 5]
    assert rows[1][1].removeprefix("'" if not entry.startswith("'") else "") == entry
    assert rows[1][1][:1] not in tuple("=+-@\t\r\n")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Format.JSON), ("*/*", Format.JSON), ("application/json", Format.JSON), ("text/csv", Format.CSV),
        ("text/csv;q=0.5, application/json;q=0.4", Format.CSV), ("text/*", Format.CSV),
        ("text/html, */*;q=0.1", Format.JSON),
        ("application/json;q=0, */*", Format.CSV), ("text/csv;q=x, */*;q=0.1", Format.JSON),
    ],
)  # fmt: skip
def test_accept_is_respected(accept: str, expected: Format) -> None:
    assert format_of(accept) is expected


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "*/*;q=0"])
def test_what_wants_neither_format_is_told_so(accept: str) -> None:
    with pytest.raises(Refused) as refused:
        format_of(accept)
    assert refused.value.problem.status == 406


@pytest.mark.parametrize(
    ("held", "expected"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False), ("a", False)],
)
def test_if_none_match_knows_the_answer_it_holds(held: str, expected: bool) -> None:
    assert unchanged(held, '"a"') is expected


values = st.dictionaries(st.integers(0, 5).map(lambda n: (str(n),)), st.integers(0, 2), max_size=6)


@given(values, values)
def test_a_change_turns_the_old_rows_into_the_new_ones(old: dict[tuple[str], int], new: dict[tuple[str], int]) -> None:
    import orjson

    query = parse("by=partner&metrics=plays&from=0&to=60", None).at(0)

    def version(name: str, cells: dict[tuple[str], int]) -> Version:
        return Version(
            name, {key: {"partnerId": key[0], "plays": n} for key, n in cells.items()}, {"totalRows": len(cells)}
        )

    step = orjson.loads(change(query, {"window": "1m"}, version("a", old), version("b", new)))
    rows = {key: {"partnerId": key[0], "plays": n} for key, n in old.items()}
    for gone in step["gone"]:
        del rows[(gone["partnerId"],)]
    rows |= {(row["partnerId"],): row for row in step["rows"]}
    assert rows == version("b", new).rows
    assert step["totalRows"] == len(new)


def test_an_event_is_one_block_of_lines() -> None:
    assert event("answer", b'{"a":1}', "x1") == b'event: answer\nid: x1\ndata: {"a":1}\n\n'
    assert event("fresh", b"{}") == b"event: fresh\ndata: {}\n\n"


def test_only_a_change_in_what_an_answer_covers_makes_it_old() -> None:
    #  revision 1: 7 @ block 0 | 2: 8 @ block 0 | 3: 7 @ block 3600
    revisions = Revisions()
    for revision, block in enumerate([("7", "1m", 0), ("8", "1m", 0), ("7", "1m", 3600)], 1):
        revisions.note([block], revision)
    assert revisions.changed_since(1, ("7",), "1m", 0, 3600) is False
    assert revisions.changed_since(0, ("7",), "1m", 0, 3600) is True
    assert revisions.changed_since(2, ("7",), "1m", 0, 7200) is True
    assert revisions.changed_since(1, (None,), "1m", 0, 3600) is True
    assert revisions.changed_since(2, ("8", "9"), "1m", 0, 7200) is False
    assert revisions.changed_since(0, ("7",), "10s", 0, 7200) is False


@given(
    st.lists(st.tuples(st.sampled_from("789"), st.integers(0, 4)), max_size=40),
    st.sampled_from("789"),
    st.integers(0, 40),
    st.integers(0, 4),
    st.integers(0, 5),
)
def test_a_change_is_never_missed(
    changes: list[tuple[str, int]], partner: str, seen: int, since: int, until: int
) -> None:
    revisions = Revisions()
    for revision, (who, block) in enumerate(changes, 1):
        revisions.note([(who, "1m", block)], revision)
    later = changes[seen:]
    assert revisions.changed_since(seen, (partner,), "1m", since, until) is any(
        who == partner and since <= block < until for who, block in later
    )
    assert revisions.changed_since(seen, (None,), "1m", since, until) is any(
        since <= block < until for _, block in later
    )


@pytest.mark.parametrize(("blocks", "places", "in_all"), [(3, 99, 99), (99, 3, 99), (99, 99, 7)])
@given(st.lists(st.tuples(st.sampled_from("789"), st.integers(0, 9)), max_size=60), st.integers(0, 60))
def test_what_is_remembered_of_changes_is_bounded_and_still_none_is_missed(
    blocks: int, places: int, in_all: int, changes: list[tuple[str, int]], seen: int
) -> None:
    with pytest.MonkeyPatch.context() as bounds:
        for name, bound in (("MOST_BLOCKS", blocks), ("MOST_PLACES", places), ("MOST_IN_ALL", in_all)):
            bounds.setattr(f"pipeline.report.revisions.{name}", bound)
        revisions = Revisions()
        for revision, (who, block) in enumerate(changes, 1):
            revisions.note([(who, "1m", block)], revision)
            held = [len(of_place) for of_place in revisions._changed.values()]
            assert (max(held, default=0) <= blocks, len(held) <= places, sum(held) <= in_all) == (True, True, True)
            assert sum(held) == revisions._in_all
    for who, block in changes[seen:]:
        assert revisions.changed_since(seen, (who,), "1m", block, block + 1)
        assert revisions.changed_since(seen, (None,), "1m", block, block + 1)
    # What was read after the last change is as it was.
    assert not revisions.changed_since(len(changes), (None, "7"), "1m", 0, 10)
