"""The SQL of a query against an independent reading of the same rows in plain Python."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.report import answer, moment, schema, sql
from pipeline.report.problem import Refused
from pipeline.report.query import Query, parse
from pipeline.report.readers import table_of, teach
from tests.examples import some

T = 1_793_404_800  # 2026-10-31 00:00 UTC; Berlin and New York change their clocks around it
KEPT = ("plays", "views", "impressions", "bufferTime")


@dataclass(frozen=True)
class Row:
    window: str
    start: int
    partner: str
    entry: str
    part: int
    sums: tuple[int, ...]


entries = st.sampled_from(["a", "b", "1_x", "=1", "x\0y", "x", "é", "a,b"])
sums = st.tuples(*[st.integers(0, 5)] * len(KEPT))


@st.composite
def rows(draw: Any) -> list[Row]:
    window = draw(st.sampled_from(["1m", "1h"]))
    size = {"1m": 60, "1h": 3600}[window]
    cells = draw(
        st.dictionaries(
            st.tuples(st.integers(-40, 40), st.sampled_from("78"), entries, st.integers(0, 2)), sums, max_size=25
        )
    )
    return [Row(window, T + n * size, p, e, part, values) for (n, p, e, part), values in cells.items()]


def store(found: list[Row]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    teach(connection)
    for statement in schema.statements():
        connection.execute(statement)
    for row in found:
        put(connection, schema.TABLES["entry", row.window], row, (row.partner, row.entry), row.sums)
    totals: dict[Any, list[int]] = defaultdict(lambda: [0] * len(KEPT))
    for row in found:
        place = totals[row.window, row.start, row.partner, row.part]
        place[:] = [a + b for a, b in zip(place, row.sums, strict=True)]
    for (window, start, partner, part), values in totals.items():
        one = Row(window, start, partner, "", part, tuple(values))
        put(connection, schema.TABLES["partner", window], one, (partner,), one.sums)
    return connection


def put(connection: Any, table: schema.Table, row: Row, dimensions: tuple[str, ...], values: tuple[int, ...]) -> None:
    named = dict(zip(KEPT, values, strict=True))
    every = [named.get(name, 0) for name in schema.METRIC_NAMES]
    block = row.start // table.block * table.block
    connection.execute(table.upsert(), (block, *dimensions, row.start, row.part, *every, *[None] * len(table.more)))


def ask(connection: sqlite3.Connection, query: Query) -> dict[str, Any]:
    statement = sql.statement(query)
    table = table_of(statement, connection.execute(statement.text, statement.values).fetchall())
    return answer.content(query, table)


def bucket(query: Query, start: int) -> int:
    tz = ZoneInfo(query.shape.tz)
    if query.shape.bucket == "window":
        return start
    local = datetime.fromtimestamp(start, tz)
    if query.shape.bucket == "hour":
        return start - (local.minute * 60 + local.second)
    return moment.day_start((local.date() - datetime(1970, 1, 1).date()).days, tz)


def shown(names: tuple[str, ...], values: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = dict(zip(KEPT, values, strict=True))
    found["playRate"] = round(found["plays"] / found["impressions"], 6) if found["impressions"] else None
    found["minutesWatched"] = round(found["views"] * 10 / 60, 6)
    found["bufferTime"] /= 1000
    return {name: found[name] for name in names}


def expected(query: Query, found: list[Row], since: int, until: int, later: int = 0) -> dict[Any, list[int]]:
    filters = dict(query.shape.filters)
    groups: dict[Any, list[int]] = {} if query.shape.by else {(): [0] * len(KEPT)}
    for row in found:
        said = {"partnerId": row.partner, "entryId": row.entry}
        if row.window != query.shape.window.name or not since <= row.start < until:
            continue
        if any(said[name] not in allowed for name, allowed in filters.items()):
            continue
        name = tuple(bucket(query, row.start) + later if n == "time" else said[n] for n in query.shape.by)
        groups[name] = [a + b for a, b in zip(groups.get(name, [0] * len(KEPT)), row.sums, strict=True)]
    return groups


METRICS = ("bufferTime", "plays", "playRate", "minutesWatched")


@settings(max_examples=some(150), deadline=None)
@given(
    rows(),
    st.sampled_from(["", "time", "entry", "time,entry", "partner", "time,partner"]),
    st.sampled_from(["", "&entryId=x", "&entryId=x,a", "&partnerId=7", "&partnerId=7&entryId=a\\,b,x%00y"]),
    st.sampled_from(
        ["", "&bucket=hour&tz=Europe/Berlin", "&bucket=day&tz=America/New_York", "&bucket=day&tz=Asia/Kolkata"]
    ),
    st.integers(-45, 40),
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_rows_totals_and_pages_are_those_of_a_plain_reading(
    found: list[Row], by: str, filters: str, days: str, first: int, length: int, limit: int, offset: int
) -> None:
    window = found[0].window if found else "1m"
    if window == "1h" and "Kolkata" in days:
        days = ""
    size = {"1m": 60, "1h": 3600}[window]
    since, until = T + first * size, T + (first + length) * size
    query = parse(
        f"window={window}&from={since}&to={until}&by={by}{filters}{days}&metrics={','.join(METRICS)}"
        f"&order=-playRate,plays&limit={limit}&offset={offset}",
        None,
    ).at(0)
    groups = expected(query, found, since, until)

    def rank(item: tuple[Any, list[int]]) -> Any:
        rate = shown(METRICS, item[1])["playRate"]
        exact = item[1][0] / item[1][2] if rate is not None else 0
        return (rate is None, -exact, item[1][0], item[0])

    page = sorted(groups.items(), key=rank)[offset : offset + limit]
    totals = [sum(values) for values in zip(*groups.values(), strict=True)] or [0] * len(KEPT)
    assert ask(store(found), query) == {
        "rows": [dict(zip(query.shape.by, name, strict=True)) | shown(METRICS, values) for name, values in page],
        "totals": shown(METRICS, totals),
        "totalRows": len(groups),
        "limit": limit,
        "offset": offset,
    }


@settings(max_examples=some(60), deadline=None)
@given(rows(), st.sampled_from(["", "&bucket=hour&tz=Australia/Lord_Howe", "&bucket=day&tz=Europe/Berlin"]))
def test_filled_answers_have_every_bucket_and_value_once_and_the_same_totals(found: list[Row], days: str) -> None:
    #     T-40 .. T+40 windows: every bucket x (7, 8) x (a, zz), zeros where nothing was sent
    window = "1m"
    text = f"window={window}&from={T - 2400}&to={T + 2400}&partnerId=7,8&entryId=a,zz{days}&by=time,entry&metrics=plays"
    bare, filled = parse(text, None).at(0), parse(text + "&fill=zero&limit=50000", None).at(0)
    connection = store(found)
    rows_there = {(r["time"], r["partnerId"], r["entryId"]): r["plays"] for r in ask(connection, bare)["rows"]}
    got = ask(connection, filled)
    starts = sorted({bucket(filled, start) for start in range(T - 2400, T + 2400, 60)})
    grid = [(t, p, e) for t in starts for p in "78" for e in ("a", "zz")]
    assert [(r["time"], r["partnerId"], r["entryId"], r["plays"]) for r in got["rows"]] == [
        (*cell, rows_there.get(cell, 0)) for cell in grid
    ]
    assert got["totalRows"] == len(grid)
    assert got["totals"] == ask(connection, bare)["totals"]


@settings(max_examples=some(60), deadline=None)
@given(rows(), st.sampled_from(["", "time", "entry", "time,entry"]), st.integers(1, 30))
def test_each_row_stands_beside_the_same_of_the_period_before(found: list[Row], by: str, length: int) -> None:
    #   [T - length, T)  before   |   [T, T + length)  now
    since, until, span = T, T + length * 60, length * 60
    query = parse(f"from={since}&to={until}&by={by}&metrics=plays&compare=previous&limit=50000", None).at(0)
    now = expected(query, found, since, until)
    before = expected(query, found, since - span, since, later=span)
    got = ask(store(found), query)
    assert {tuple(r[n] for n in query.shape.by): (r["plays"], r["previous"]["plays"]) for r in got["rows"]} == {
        name: (values[0], before.get(name, [0])[0]) for name, values in now.items()
    }
    plays = sum(values[0] for values in before.values())
    assert got["previous"] == {"from": since - span, "to": since, "totals": {"plays": plays}}


def test_days_are_compared_with_as_many_days_before_across_a_clock_change() -> None:
    # Berlin: Sunday 25 October 2026 has 25 hours; Monday is compared with the whole of Sunday.
    monday = int(datetime(2026, 10, 26, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    sunday = int(datetime(2026, 10, 25, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    text = f"window=1h&from={monday}&to={monday + 86_400}&by=time&bucket=day&tz=Europe/Berlin&metrics=plays"
    sundays = [Row("1h", sunday + n * 3600, "7", "a", 0, (5, 0, 0, 0)) for n in (0, 24)]
    found = [Row("1h", monday + 3600, "7", "a", 0, (2, 0, 0, 0)), *sundays]
    got = ask(store(found), parse(text + "&compare=previous", None).at(0))
    assert got["rows"] == [{"time": monday, "plays": 2, "previous": {"plays": 10}}]
    assert got["previous"] == {"from": sunday, "to": monday, "totals": {"plays": 10}}


def test_hours_are_compared_across_a_change_of_the_clock_by_whole_hours_and_by_no_others() -> None:
    # Berlin, 25 October 2026: hours stay where they are. Lord Howe, 4 October 2026: put forward by half an hour.
    for zone, day, is_refused in (("Europe/Berlin", (10, 25), False), ("Australia/Lord_Howe", (10, 4), True)):
        noon = int(datetime(2026, *day, 12, tzinfo=ZoneInfo(zone)).timestamp())
        text = f"from={noon}&to={noon + 86_400}&bucket=hour&tz={zone}&metrics=plays&compare=previous"
        query = parse(f"{text}&by=time", None).at(0)
        if is_refused:
            with pytest.raises(Refused) as refused:
                sql.statement(query)
            assert "Australia/Lord_Howe moves its hours by a part of one" in str(refused.value.problem.detail)
        else:
            found = [Row("1m", at, "7", "a", 0, (5, 0, 0, 0)) for at in (noon, noon - 86_400)]
            [row] = ask(store(found), query)["rows"]
            assert (row["time"], row["plays"], row["previous"]["plays"]) == (noon, 5, 5)
        # Without rows of hours there is nothing to stand side by side.
        sql.statement(parse(f"{text}&by=entry", None).at(0))


@settings(max_examples=some(40), deadline=None)
@given(
    st.sampled_from(
        [(2026, 10, 25, "Europe/Berlin"), (2026, 3, 29, "Europe/Berlin"), (2026, 11, 1, "America/New_York")]
    ),
    st.integers(-120, 180),
    st.integers(1, 200),
)
@example((2026, 10, 25, "Europe/Berlin"), 46, 3)
def test_the_days_before_add_up_to_their_totals_across_a_clock_change(
    change: tuple[int, int, int, str], first: int, halves: int
) -> None:
    #   a play each half hour; [first, first + halves) from the midnight before the clock is changed
    tz = ZoneInfo(change[3])
    midnight = int(datetime(*change[:3], tzinfo=tz).timestamp())
    since, until = midnight + first * 1800, midnight + (first + halves) * 1800
    found = [Row("1m", midnight + n * 1800, "7", "a", 0, (1, 0, 0, 0)) for n in range(-400, 400)]
    text = f"window=1m&from={since}&to={until}&by=time&bucket=day&tz={tz.key}&metrics=plays&compare=previous"
    got = ask(store(found), parse(text, None).at(0))
    there = got["previous"]
    assert there["to"] <= since
    assert sum(row["previous"]["plays"] for row in got["rows"]) == there["totals"]["plays"]
    assert there["totals"]["plays"] == (there["to"] - there["from"]) // 1800


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("window=1h&bucket=day&tz=Asia/Kolkata&from=now-1d", 400),
        ("window=1m&bucket=hour&compare=previous&from=0&to=5400", 400),
        ("fill=zero&by=time&partnerId=7&from=0&to=600000", 200),
        ("fill=zero&by=time,entry&partnerId=7&entryId=a,b,c,d,e,f&from=0&to=600000", 422),
    ],
)
def test_what_cannot_be_put_together_is_refused(text: str, status: int) -> None:
    try:
        sql.statement(parse(text, None).at(T))
        got = 200
    except Refused as refused:
        got = refused.problem.status
    assert got == status


def test_no_value_of_a_query_is_part_of_the_statement() -> None:
    query = parse("entryId=zq'--,zq2&partnerId=zq3&by=time,entry&fill=zero&compare=previous&tz=Europe/Berlin", None)
    assert "zq" not in sql.statement(query.at(T)).text


def test_neither_question_of_the_dashboard_scans_a_table() -> None:
    connection = store([])
    for text in ("entryId=a&partnerId=7", "by=entry&order=-plays&limit=50&partnerId=7", "by=entry"):
        statement = sql.statement(parse(text, None).at(T))
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement.text, statement.values)]
        assert [line for line in plan if line.startswith("SCAN rows")] == []
        assert any(line.startswith("SEARCH rows_entry_1m USING PRIMARY KEY (block=?") for line in plan)
