"""Distinct sessions over any range: exact where one window says it, else out of sketches, else no number."""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report.query import Query, parse
from pipeline.report.record import Record, fold
from pipeline.sketch import CONFIDENCE, ERROR, Sketch
from tests.examples import some
from tests.report.asked import ask, store

T = 1_793_404_800  # 2026-10-31 00:00 UTC
SIZES = {"1m": 60, "1h": 3600}
# A session, its entry and the minute since T in which it was seen. Its partner and partition are its own.
seen = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.integers(0, 5 * 60 - 1)), max_size=40)


def home(session: int) -> tuple[str, int]:
    """Return a session's partner and partition."""
    return "78"[session % 2], session % 3


def records(found: list[tuple[int, str, int]], sketched: tuple[str, ...] = ("1m", "1h")) -> list[Record]:
    rows: dict[bytes, set[int]] = defaultdict(set)
    for session, entry, minute in found:
        partner, part = home(session)
        for name, more in (("partner", {}), ("entry", {"entryId": entry})):
            for window, size in SIZES.items():
                start = T + minute * 60 // size * size
                key = {"window": window, "start": start, "set": name, "partnerId": partner, **more, "partition": part}
                rows[orjson.dumps(key)].add(session)
    return [
        Record(0, n, key, value(sessions, orjson.loads(key)["window"] in sketched))
        for n, (key, sessions) in enumerate(rows.items())
    ]


def value(sessions: set[int], is_sketched: bool) -> bytes:
    row: dict[str, Any] = {"sessions": len(sessions), "plays": 1}
    if is_sketched:
        sketch = Sketch()
        sketch.add(session * 99_991 for session in sessions)
        row["sketch.sessions"] = b64encode(sketch.packed()).decode()
    return orjson.dumps(row)


def groups(query: Query, found: list[tuple[int, str, int]], by: tuple[str, ...]) -> dict[Any, int]:
    sessions: dict[Any, set[int]] = defaultdict(set)
    filters, size = dict(query.shape.filters), query.shape.window.seconds
    for session, entry, minute in found:
        at = T + minute * 60
        local = datetime.fromtimestamp(at, ZoneInfo(query.shape.tz)).replace(minute=0)
        hour, day = int(local.timestamp()), int(local.replace(hour=0).timestamp())
        bucket = {"window": at // size * size, "hour": hour, "day": day}[query.shape.bucket]
        said = {"partnerId": home(session)[0], "entryId": entry, "time": bucket}
        if query.since <= at < query.until and all(said[name] in values for name, values in filters.items()):
            sessions[tuple(said[name] for name in by)].add(session)
    return {group: len(some) for group, some in sessions.items()}


@settings(max_examples=some(200), deadline=None)
@given(
    seen,
    st.sampled_from(["1m", "1h"]),
    st.sampled_from(["", "time", "partner", "entry", "time,entry", "time,partner"]),
    st.sampled_from(["", "&partnerId=7", "&partnerId=7&entryId=a", "&entryId=a,b", "&partnerId=7&entryId=a,b"]),
    st.sampled_from(["", "&bucket=hour", "&bucket=day"]),
    st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.integers(-70, 310) | st.sampled_from([0, 60, 120]),
    st.integers(1, 310) | st.sampled_from([60, 120, 300]),
)
def test_sessions_are_the_distinct_ones_of_any_range_of_whole_minutes(
    found: list[tuple[int, str, int]], window: str, by: str, filters: str, bucket: str, tz: str, first: int, length: int
) -> None:
    zone = "" if window == "1h" else f"&tz={tz}"
    query = parse(
        f"window={window}&from={T + first * 60}&to={T + (first + length) * 60}&by={by}{filters}{bucket}{zone}"
        "&metrics=sessions&order=-sessions&limit=50000",
        None,
    ).at(0)
    got = ask(store(records(found)), query)
    one = query.until - query.since <= SIZES[window]
    entry_is_one = "entryId=a" in filters and "a,b" not in filters
    entries = entry_is_one or "entryId" in query.shape.by or "entryId" not in filters
    exact = entries and (one or ("time" in query.shape.by and not bucket))
    wanted = groups(query, found, query.shape.by) or ({} if query.shape.by else {(): 0})
    rows = {tuple(row[name] for name in query.shape.by): row["sessions"] for row in got["rows"]}
    assert rows == wanted
    shown = [row["sessions"] for row in got["rows"]]
    assert shown == sorted(shown, reverse=True)
    total_is_exact = one and (entry_is_one or not {"entryId"} & {*query.shape.by, *dict(query.shape.filters)})
    total = groups(query, found, ()).get((), 0)
    assert got["totals"]["sessions"] == total
    parts = [name for name, is_exact in (("rows", exact), ("totals", total_is_exact)) if not is_exact]
    said = {"sessions": {"error": ERROR, "confidence": CONFIDENCE, "in": parts}}
    assert got.get("estimates") == (said if parts else None)


def test_hours_that_were_counted_without_sketches_are_no_number_and_never_too_small_a_one() -> None:
    #   partner 7:  hour 0: sessions 2 and 4, without a sketch   |   hour 1: 2 and 6, with
    before, after = records([(2, "a", 5), (4, "a", 6)], sketched=()), records([(2, "a", 65), (6, "a", 66)])
    connection = store([*before, *after])
    text = f"window=1h&partnerId=7&metrics=sessions&to={T + 10_800}"
    whole = ask(connection, parse(f"{text}&by=&from={T}", None).at(0))
    assert (whole["rows"], whole["totals"]) == ([{"sessions": None}], {"sessions": None})
    assert ask(connection, parse(f"{text}&by=&from={T + 3600}", None).at(0))["totals"] == {"sessions": 2}
    days = ask(connection, parse(f"{text}&by=time&bucket=day&fill=zero&from={T - 86_400}", None).at(0))
    assert [row["sessions"] for row in days["rows"]] == [0, None]


def test_minutes_that_were_counted_without_sketches_are_no_number_while_their_hours_are() -> None:
    #   partner 7:  hour 0, 00:05: sessions 2 and 4   |   hour 1, 01:05: 2 and 6; only hours keep sketches
    connection = store(records([(2, "a", 5), (4, "a", 5), (2, "a", 65), (6, "a", 65)], sketched=("1h",)))
    for minutes, wanted in (((0, 120), 3), ((0, 66), None), ((66, 180), 0)):
        since, until = (T + 60 * minute for minute in minutes)
        text = f"window=1m&partnerId=7&metrics=sessions&by=&from={since}&to={until}"
        assert ask(connection, parse(text, None).at(0))["totals"] == {"sessions": wanted}


def test_a_range_of_hours_and_minutes_is_read_in_hours_as_far_as_they_go() -> None:
    #   the hour row of 01:00 alone knows session 8; that of 00:00 is cut, and asked of its minutes
    minutes, hours = records([(2, "a", 50)], sketched=("1m",)), records([(4, "a", 5), (8, "a", 70)], sketched=("1h",))
    connection = store([*minutes, *(one for one in hours if b'"1h"' in one.key)])
    text = f"window=1m&partnerId=7&metrics=sessions,plays&by=&from={T + 1800}&to={T + 7260}"
    assert ask(connection, parse(text, None).at(0))["totals"]["sessions"] == 2


def test_ten_seconds_are_a_part_of_a_minute_that_nothing_is_known_of() -> None:
    connection = store(records([(2, "a", 50)]))
    for since, until, wanted in ((0, 3600, 1), (10, 3600, None), (0, 3610, None), (3000, 3060, 1), (3060, 3600, 0)):
        text = f"window=10s&partnerId=7&metrics=sessions&by=&from={T + since}&to={T + until}"
        assert ask(connection, parse(text, None).at(0))["totals"] == {"sessions": wanted}


def test_the_period_before_has_its_own_distinct_sessions() -> None:
    #   hours     0      1   |   2      3
    #   entry a   0      0,2 |   2      0
    #   entry b              |          4
    found = [(0, "a", 5), (0, "a", 65), (2, "a", 70), (2, "a", 130), (0, "a", 190), (4, "b", 200)]
    text = f"window=1h&from={T + 7200}&to={T + 14_400}&by=entry&metrics=sessions&compare=previous&partnerId="
    got = ask(store(records(found)), parse(text + "7", None).at(0))
    assert [(row["entryId"], row["sessions"], row["previous"]["sessions"]) for row in got["rows"]] == [
        ("a", 2, 2),
        ("b", 1, 0),
    ]
    assert (got["totals"], got["previous"]["totals"]) == ({"sessions": 3}, {"sessions": 2})
    nobody = ask(store(records(found)), parse(text + "9", None).at(0))
    assert (nobody["totals"], nobody["previous"]["totals"]) == ({"sessions": 0}, {"sessions": 0})
    text = f"window=1m&from={T + 3900}&to={T + 7800}&by=entry&metrics=sessions&compare=previous&partnerId=7"
    got = ask(store(records(found)), parse(text, None).at(0))
    assert [(row["entryId"], row["sessions"], row["previous"]["sessions"]) for row in got["rows"]] == [("a", 2, 1)]
    assert (got["totals"], got["previous"]["totals"]) == ({"sessions": 2}, {"sessions": 1})


@pytest.mark.parametrize(("name", "shown"), [("users", 2), ("audience", None)])
def test_users_come_out_of_their_own_sketch_and_an_audience_out_of_none(name: str, shown: int | None) -> None:
    sketch = Sketch()
    sketch.add((1, 2))
    row = {"sessions": 3, "audience": 3, "sketch.users": b64encode(sketch.packed()).decode()}
    keys = [{"window": "1h", "start": T + n * 3600, "set": "partner", "partnerId": "7", "partition": n} for n in (0, 1)]
    connection = store([Record(0, n, orjson.dumps(key), orjson.dumps(row)) for n, key in enumerate(keys)])
    query = parse(f"window=1h&from={T}&to={T + 7200}&by=&metrics={name}&partnerId=7", None).at(0)
    got = ask(connection, query)
    assert (got["rows"], got["totals"]) == ([{name: shown}], {name: shown})
    assert ("estimates" in got) is (shown is not None)


def test_users_of_a_line_that_knows_none_are_no_number() -> None:
    query = parse(f"window=1h&from={T}&to={T + 7200}&by=time&metrics=users&partnerId=7&fill=zero", None).at(0)
    got = ask(store(records([(1, "a", 5), (0, "a", 6)])), query)
    assert [row["users"] for row in got["rows"]] == [None, 0]
    assert got["totals"]["users"] is None


def test_a_row_whose_sketch_cannot_be_read_is_passed_over() -> None:
    key = {"window": "1h", "start": T, "set": "partner", "partnerId": "7", "partition": 0}
    for text in ("%", "AAAA", 7):
        batch = fold([Record(0, 0, orjson.dumps(key), orjson.dumps({"plays": 1, "sketch.sessions": text}))])
        assert (batch.rows, batch.unreadable) == ({}, 1)
