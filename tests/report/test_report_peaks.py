"""Peaks: the largest audience of 10 s, against a plain maximum over sums of the same numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report import schema, sql
from pipeline.report.problem import Refused
from pipeline.report.query import Query, parse
from pipeline.report.record import Record
from pipeline.report.slots import SLOTS, SlotsSum, most, packed
from tests.examples import some
from tests.report.asked import ask, store

T = 1_793_404_800  # 2026-10-31 00:00 UTC; Berlin changes its clocks on the next day
HOURS = 4
NAMES = ("partnerId", "entryId", "playbackType")
SETS = {
    "partner": NAMES[:1],
    "entry": NAMES[:2],
    "playbackType": ("partnerId", "playbackType"),
    "entryPlaybackType": NAMES,
}
SIZES = {"10s": 10, "1m": 60, "1h": 3600}

# (partner, entry, playbackType), partition, slot since T: viewers. Everyone watches one entry in one way at a time.
Watched = dict[tuple[tuple[str, str, str], int, int], int]
viewers = st.dictionaries(
    st.tuples(
        st.tuples(st.sampled_from("78"), st.sampled_from("ab"), st.sampled_from(["live", "vod"])),
        st.integers(0, 2),
        st.integers(0, HOURS * SLOTS - 1) | st.integers(358, 362),
    ),
    st.integers(1, 5) | st.sampled_from([255, 256, 70_000]),
    max_size=25,
)


def records(watched: Watched) -> list[Record]:
    """Return the rows that a worker writes for these viewers."""
    rows: dict[bytes, Counter[str]] = defaultdict(Counter)
    for (values, part, slot), number in watched.items():
        said = dict(zip(NAMES, values, strict=True))
        for name, dimensions in SETS.items():
            for window, size in SIZES.items():
                if (name, window) not in schema.TABLES:
                    continue
                start = T + slot * 10 // size * size
                key = {"window": window, "start": start, "set": name, **{n: said[n] for n in dimensions}}
                row = rows[orjson.dumps(key | {"partition": part})]
                row["audience"] += number
                if window == "1h":
                    row[f"audience.{slot % SLOTS}"] += number
    return [Record(0, n, key, orjson.dumps(dict(row))) for n, (key, row) in enumerate(rows.items())]


def bucket(query: Query, at: int) -> int:
    if query.shape.bucket == "window":
        return at - at % query.shape.window.seconds
    local = datetime.fromtimestamp(at, ZoneInfo(query.shape.tz))
    if query.shape.bucket == "hour":
        return at - local.minute * 60 - local.second
    return int(local.replace(hour=0, minute=0, second=0).timestamp())


def peaks(query: Query, watched: Watched, by: tuple[str, ...], since: int, until: int) -> dict[Any, int]:
    """Return the largest sum of each group: partitions, and what is not asked for, added up at one instant."""
    sums: Counter[Any] = Counter()
    filters = dict(query.shape.filters)
    for (values, _, slot), number in watched.items():
        at, said = T + slot * 10, dict(zip(NAMES, values, strict=True))
        if since <= at < until and all(said[name] in allowed for name, allowed in filters.items()):
            sums[tuple(bucket(query, at) if name == "time" else said[name] for name in by), slot] += number
    largest: dict[Any, int] = {}
    for (group, _), number in sums.items():
        largest[group] = max(number, largest.get(group, 0))
    return largest


@settings(max_examples=some(200), deadline=None)
@given(
    viewers,
    st.sampled_from(["10s", "1m", "1h"]),
    st.sampled_from(
        ["", "time", "partner", "time,partner", "entry", "time,entry", "time,playbackType", "entry,playbackType"]
    ),
    st.sampled_from(["", "&partnerId=7", "&partnerId=7&entryId=a", "&entryId=a,b", "&playbackType=live"]),
    st.sampled_from(["", "&bucket=hour&tz=Asia/Kolkata", "&bucket=day&tz=Europe/Berlin"]),
    st.integers(-400, HOURS * SLOTS),
    st.integers(1, HOURS * SLOTS),
)
def test_a_peak_is_the_largest_sum_over_partitions_of_any_ten_seconds(
    watched: Watched, window: str, by: str, filters: str, days: str, first: int, length: int
) -> None:
    if window == "1h" and "Kolkata" in days:
        days = ""
    try:
        query = parse(
            f"window={window}&from={T + first * 10}&to={T + (first + length) * 10}&by={by}{filters}{days}"
            f"&metrics=audience,peak&order=-peak&limit=50000",
            None,
        ).at(0)
    except Refused as refused:
        # Entries by playbackType are kept in 10 s and hours only.
        assert (window, refused.problem.detail) == ("1m", "They are kept in window=10s or 1h.")
        return
    got = ask(store(records(watched)), query)
    # Who watches two entries is in both of their rows: two entries in one row have no peak.
    free = filters == "&entryId=a,b" and "entryId" not in query.shape.by
    wanted = peaks(query, watched, query.shape.by, query.since, query.until)
    found = {tuple(row[name] for name in query.shape.by): row["peak"] for row in got["rows"]}
    if not query.shape.by and not wanted:
        wanted = {(): 0}
    assert found == (dict.fromkeys(wanted) if free else wanted)
    if not free:
        shown = [row["peak"] for row in got["rows"]]
        assert shown == sorted(shown, reverse=True)
    whole = peaks(query, watched, (), query.since, query.until).get((), 0)
    assert got["totals"]["peak"] == (None if filters == "&entryId=a,b" else whole)
    if window == "10s" and query.shape.by[:1] == ("time",) and not days:
        assert all(row["peak"] in (row["audience"], None) for row in got["rows"])


slots = st.dictionaries(st.integers(0, SLOTS - 1), st.integers(0, 2**20), max_size=40)


@given(st.lists(slots, max_size=5), st.integers(-40, 400), st.integers(-40, 400))
def test_slots_packed_and_added_up_say_the_largest_sum_of_any_part_of_the_hour(
    rows: list[dict[int, int]], begin: int, end: int
) -> None:
    total, sums = SlotsSum(), Counter[int]()
    for row in rows:
        sums.update(row)
        if (one := packed(row)) is not None:
            total.step(one)
    inside = [number for slot, number in sums.items() if begin <= slot < end]
    assert most(total.finalize(), begin * 10, end * 10) == max(inside, default=0)


def test_a_few_viewers_take_a_few_bytes_and_nobody_none() -> None:
    assert packed({}) is None
    assert packed({4: 0}) is None
    assert packed({4: 3, 6: 1}) == b"\4\0\1\3\0\1"
    assert len(packed(dict.fromkeys(range(SLOTS), 255)) or b"") == 3 + SLOTS


@pytest.mark.parametrize("row", [{360: 1}, {-1: 1}, {0: -1}, {0: 2**32}])
def test_what_is_no_audience_of_an_hour_is_refused(row: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="no audience"):
        packed(row)


@pytest.mark.parametrize(
    ("by", "row", "peak"),
    [
        ("device", {"views": 3}, None),  # a set without peaks
        ("time", {"audience": 3}, None),  # counted by a line that keeps none
        ("time", {"plays": 3}, 0),
        ("time", {"audience": 3, "audience.7": 2}, 2),
    ],
)
def test_a_peak_that_cannot_be_known_is_no_number(by: str, row: dict[str, int], peak: int | None) -> None:
    key = {"window": "1h", "start": T, "partnerId": "7", "partition": 0}
    names = {"set": "device", "device": "x", "operatingSystem": "y"} if by == "device" else {"set": "partner"}
    query = parse(f"window=1h&from={T}&to={T + 3600}&by={by}&metrics=peak", None).at(0)
    got = ask(store([Record(0, 0, orjson.dumps(key | names), orjson.dumps(row))]), query)
    assert [one["peak"] for one in got["rows"]] == [peak]
    assert got["totals"] == {"peak": 0 if by == "device" else peak}


def test_buckets_without_a_row_have_no_viewers_and_the_period_before_its_own_peak() -> None:
    #   hour -1: 5 in slot 0   |   hour 0: nobody   |   hour 1: 3 in slot 0, 4 in slot 1 of two partitions
    viewed: Watched = {(("7", "a", "vod"), 0, 360): 3, (("7", "a", "vod"), 0, 361): 2, (("7", "a", "vod"), 1, 361): 2}
    viewed[("7", "a", "vod"), 0, 0] = 5
    text = f"window=1h&from={T + 3600}&to={T + 7200}&by=time&partnerId=7&metrics=peak"
    got = ask(store(records(viewed)), parse(text + "&compare=previous", None).at(0))
    assert got["rows"] == [{"time": T + 3600, "peak": 4, "previous": {"peak": 5}}]
    assert (got["totals"], got["previous"]["totals"]) == ({"peak": 4}, {"peak": 5})
    later = f"window=1h&from={T + 3600}&to={T + 10_800}&by=time&partnerId=7&metrics=peak&fill=zero"
    assert [row["peak"] for row in ask(store(records(viewed)), parse(later, None).at(0))["rows"]] == [4, 0]


def test_no_table_is_scanned_for_a_peak() -> None:
    connection = store([])
    for text in ("entryId=a&partnerId=7&by=time", "by=entry&order=-peak&limit=50&partnerId=7"):
        statement = sql.statement(parse(f"{text}&metrics=peak", None).at(T))
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement.text, statement.values)]
        assert [line for line in plan if line.startswith("SCAN rows")] == []
        assert any(line.startswith("SEARCH rows_entry_1h USING PRIMARY KEY (block=?") for line in plan)
