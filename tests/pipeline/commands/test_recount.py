"""The recount agrees with the worker's own partition on anything, and tells every row that differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.batch import Position
from pipeline.catalog import DIMENSIONS, METRICS, SETS, WINDOWS
from pipeline.commands.comparing import Difference, add_up, differences, found_rows, wanted_rows
from pipeline.commands.recount import Range, Recount
from pipeline.partition import Partition
from pipeline.rows import Rules
from pipeline.store import Store
from pipeline.windows import Counts, RowId, Shape
from tests.examples import some

_SPOKEN = {dimension.name for dimension in DIMENSIONS if dimension.source == "parameter"}
# Every set whose dimensions a beacon says itself.
SPOKEN = tuple(one for one in SETS if _SPOKEN.issuperset(one.dimensions))
RULES = Rules(Shape.of(WINDOWS, SPOKEN), dedupe_horizon_s=600, max_entries=3)
# Partner and entry, counts only: rows that a test can write down.
FEW = Rules(
    Shape.of(WINDOWS, SETS[:2]),
    metrics=tuple(metric for metric in METRICS if metric.name in ("plays", "views")),
    dedupe_horizon_s=600,
    max_entries=3,
)
START = 1_795_000_000 // 3600 * 3600
ALL = Range(0, 4_000_000_000)


def line(
    number: int,
    second: float,
    kind: object,
    partner: str,
    entry: int,
    session: str,
    index: int,
    more: str = "",
) -> bytes:
    told = f"service=analytics&eventType={kind}&partnerId={partner}&entryId=1_e{entry}&sessionId={session}"
    query = f"{told}&eventIndex={index}&bufferTime=0.25{more}".encode()
    return encode(Beacon(f"b{number}", int((START + second) * 1000), path=b"/api_v3/index.php", query=query))


LINES = st.builds(
    line,
    number=st.integers(0, 10),
    second=st.floats(0, 7200),
    kind=st.sampled_from((1, 3, 99, 99, 10002, "x")),
    partner=st.sampled_from(("7", "8", "bad")),
    entry=st.integers(0, 5),
    session=st.sampled_from(("s", "t", "")),
    index=st.integers(0, 3),
    more=st.sampled_from(
        (
            "",
            "&playbackType=live",
            "&playbackType=(other)",
            "&playbackType=vod&clientVer=3",
            "&playTimeSum=7.5",
            "&errorCode=9",
        )
    ),
)
# Some name a part of the row of all others, or all of it.
NAMED = LINES.map(lambda line: line.replace(b"1_e5", b"(other)"))
RECORDS = st.lists(st.lists(st.one_of(NAMED, st.just(b"{")), min_size=1, max_size=6).map(b"\n".join), max_size=12)

ESCAPING = [line(n, 0, 3, "7", 5, "s", n, f"&playbackType=k{n}").replace(b"1_e5", b"(other)") for n in range(5)]


def few(*metrics: str) -> Rules:
    return replace(RULES, metrics=tuple(metric for metric in METRICS if metric.name in metrics))


# The second and the third count nothing of many an event.
@pytest.mark.parametrize("rules", [RULES, few("plays", "watchedTime"), few("audience")], ids=["all", "few", "one"])
@settings(max_examples=some(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS)
@example(records=ESCAPING)
def test_it_finds_the_rows_and_the_ledger_that_the_worker_writes(
    records: list[bytes], rules: Rules, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("store"), rules.dedupe_horizon_s)
    partition = Partition(5, store, rules, Position())
    partition.take(list(enumerate(records)))
    batch, _ = partition.prepare("topic", START)
    recount = Recount(rules, ALL)
    for record in records:
        recount.take(record)
    now_s = {5: batch.position.time / 1000}
    found = found_rows(dict(batch.rows), rules, ALL, now_s)
    store.close()
    assert differences(wanted_rows({5: recount}, now_s, found), found) == []
    assert {place for place, row in found.items() if "sketch.sessions" in row} == {
        (5, row_id) for row_id, seen in recount.seen.items() if seen and (5, row_id) in found
    }
    counted = ("beacons", "unique", "duplicates", "unknownTypes", "rejected")
    assert {name: recount.outcomes[name] for name in counted} == {
        name: batch.position.ledger.get(name, 0) for name in counted
    }


def test_a_window_counts_if_it_lies_whole_in_the_range() -> None:
    #        START     +5    +10    +20        +60
    # 10s      |--------------|------|...
    # range          [---------------)
    recount = Recount(FEW, Range(START + 5, START + 20))
    recount.take(line(1, 9, 3, "7", 1, "s", 1) + b"\n" + line(2, 12, 3, "7", 1, "s", 2))
    ten = START + 10
    assert recount.rows == {
        (0, 0, ten, ('"7"',)): {"plays": 1},
        (0, 1, ten, ('"7"', '"1_e1"')): {"plays": 1},
    }


def test_another_partners_rows_are_left_out_of_both_sides() -> None:
    range_ = Range(0, 4_000_000_000, "8")
    recount = Recount(FEW, range_)
    recount.take(line(1, 0, 3, "7", 1, "s", 1))
    key = b'{"window":"1h","start":%d,"set":"partner","partnerId":"7","partition":0}' % START
    assert (recount.rows, found_rows({key: b'{"plays":1,"offset":0}'}, RULES, range_, {})) == ({}, {})


def test_a_row_whose_retention_is_over_is_compared_no_more() -> None:
    key = b'{"window":"10s","start":%d,"set":"partner","partnerId":"7","partition":0}' % START
    rows = {key: b'{"plays":1,"offset":0}'}
    later = START + 10 + WINDOWS[0].keep_seconds + 1
    place = (0, (0, 0, START, ('"7"',)))
    assert found_rows(rows, RULES, ALL, {0: START + 60}) == {place: {"plays": 1}}
    assert found_rows(rows, RULES, ALL, {0: later}) == {}


def row(number: int) -> tuple[int, RowId]:
    return number, (0, 0, START + number, ('"7"',))


def test_a_row_that_is_wrong_missing_or_too_many_is_told() -> None:
    wanted: dict[tuple[int, RowId], Counts] = {row(0): {"plays": 1}, row(1): {"plays": 2}, row(2): {"views": 3}}
    found: dict[tuple[int, RowId], Counts] = {row(0): {"plays": 1}, row(1): {"plays": 3}, row(3): {"views": 3}}
    assert differences(wanted, found) == [
        Difference(row(1), {"plays": 2}, {"plays": 3}),
        Difference(row(2), {"views": 3}, {}),
        Difference(row(3), {}, {"views": 3}),
    ]


@given(st.dictionaries(st.integers(0, 9).map(row), st.dictionaries(st.sampled_from("ab"), st.integers(1, 9))))
def test_no_row_differs_from_itself_and_any_changed_row_is_found(rows: dict[tuple[int, RowId], Counts]) -> None:
    assert differences(rows, rows) == []
    for place, counts in rows.items():
        changed = rows | {place: {**counts, "a": counts.get("a", 0) + 1}}
        assert [found.place for found in differences(rows, changed)] == [place]


def _summed(rows: dict[tuple[int, RowId], Counts]) -> dict[tuple[int, RowId], Counts]:
    sums: dict[tuple[int, RowId], Counts] = {}
    for place, counts in rows.items():
        add_up(sums, {place: counts})
    return sums


def test_the_report_shows_a_row_as_the_sum_of_its_partitions() -> None:
    row_id: RowId = (2, 0, START, ('"7"',))
    rows: dict[tuple[int, RowId], Counts] = {(0, row_id): {"plays": 1}, (3, row_id): {"plays": 2, "views": 1}}
    assert _summed(rows) == {(-1, row_id): {"plays": 3, "views": 1}}


def test_the_report_is_compared_in_the_metrics_that_its_rows_show() -> None:
    row_id: RowId = (2, 0, START, ('"7"',))
    rows: dict[tuple[int, RowId], Counts] = {(0, row_id): {"views": 1, "audience.3": 1, "event9999": 2}}
    assert _summed(rows) == {(-1, row_id): {"views": 1}}


def test_a_sketch_that_is_wrong_is_told_and_one_that_was_never_begun_is_none() -> None:
    recount = Recount(Rules(Shape.of(WINDOWS, SETS[:1])), ALL)
    recount.take(line(1, 5, 3, "7", 1, "s", 1) + b"\n" + line(2, 5, 3, "7", 1, "t", 1))
    place, counts = (0, (2, 0, START, ('"7"',))), {"plays": 2, "sessions": 2}
    for found, told in (({"sketch.sessions": 1}, [2]), ({"sketch.sessions": 2}, []), ({}, [])):
        rows: dict[tuple[int, RowId], Counts] = {place: {**counts, **found}}
        wrong = differences(wanted_rows({0: recount}, {}, rows), rows)
        assert [one.must_be["sketch.sessions"] for one in wrong if one.place == place] == told


def test_an_event_that_no_chosen_metric_counts_has_no_row_and_takes_no_place_under_the_bound() -> None:
    recount = Recount(few("plays", "watchedTime"), ALL)
    recount.take(b"\n".join(line(n, 0, 1, "7", n, "s", n) for n in range(3)))
    assert recount.rows == {}
    recount.take(line(3, 0, 3, "7", 3, "s", 3))
    entries = {row_id[3][1]: counts for row_id, counts in recount.rows.items() if row_id[:2] == (0, 1)}
    assert entries == {'"1_e3"': {"plays": 1}}


def test_more_entries_than_the_bound_share_one_row(tmp_path: Path) -> None:
    recount = Recount(FEW, ALL)
    recount.take(b"\n".join(line(n, 0, 3, "7", n, "s", n) for n in range(5)))
    entries = {row_id[3][1]: counts for row_id, counts in recount.rows.items() if row_id[:2] == (0, 1)}
    assert entries == {
        '"1_e0"': {"plays": 1},
        '"1_e1"': {"plays": 1},
        '"1_e2"': {"plays": 1},
        '"(other)"': {"plays": 2},
    }
