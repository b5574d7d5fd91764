"""Rows of topic `windows` become rows of a warehouse: the newest of each key, however often and in whatever order."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import duckdb
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.broker import Broker
from pipeline.commands.clickhouse import statements
from pipeline.commands.history import STATE, _merge, history
from pipeline.commands.warehouse import (
    COLUMNS,
    DIMENSION_NAMES,
    HISTORY,
    METRIC_NAMES,
    Row,
    day_of,
    newest,
    warehouse_row,
)
from pipeline.config import RefusedSetting

START = 1_795_000_000 // 3600 * 3600
NOW_S = START + 7200.0
SQL = Path(__file__).parents[3] / "deploy/history/clickhouse.sql"


def key(window: str = "1h", entry: str | None = None, start: int = START) -> bytes:
    words: dict[str, object] = {"window": window, "start": start, "set": "partner", "partnerId": "7"}
    if entry is not None:
        words |= {"set": "entry", "entryId": entry}
    return orjson.dumps(words | {"partition": 3})


def row(entry: str, version: int, plays: int, deleted: int = 0) -> Row:
    found = warehouse_row(key(entry=entry), orjson.dumps({"plays": plays, "offset": 1}), version, NOW_S)
    assert found is not None
    return found | {"deleted": deleted}


def test_an_hour_row_has_every_metric_and_its_version() -> None:
    found = warehouse_row(
        key(entry="1_x"), b'{"plays":2,"bufferTime":1500,"rows.entry":9,"audience.4":2,"offset":77}', 42, NOW_S
    )
    zeros = dict.fromkeys(METRIC_NAMES, 0)
    assert found == {
        "window": "1h",
        "start": START,
        "set": "entry",
        **(dict.fromkeys(DIMENSION_NAMES, "") | {"partnerId": "7", "entryId": "1_x"}),
        "partition": 3,
        **(zeros | {"plays": 2, "bufferTime": 1500}),
        "version": 42,
        "deleted": 0,
    }
    assert tuple(found) == COLUMNS


def test_rows_of_short_windows_stay_in_kafka() -> None:
    assert [warehouse_row(key(window), b'{"plays":1,"offset":1}', 1, NOW_S) for window in ("10s", "1m")] == [None, None]


def test_a_row_whose_retention_is_over_stays_and_one_that_was_erased_goes() -> None:
    #  start ---- 1 h ---- 400 days ----| retention is over
    over = START + 3600 + HISTORY["1h"].keep_seconds + 1.0
    assert warehouse_row(key(), None, 5, over) is None
    erased = warehouse_row(key(), None, 5, NOW_S)
    assert erased is not None
    assert (erased["deleted"], erased["plays"], erased["version"]) == (1, 0, 5)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=20), st.randoms())
def test_of_each_key_the_newest_counts_in_any_order(versions: list[tuple[str, int]], shuffled: object) -> None:
    rows = [row(entry, version, plays=version) for entry, version in versions]
    mixed = rows[:]
    shuffled.shuffle(mixed)  # type: ignore[attr-defined]
    highest = {entry: max(version for name, version in versions if name == entry) for entry, _ in versions}
    assert {found["entryId"]: found["version"] for found in newest(mixed)} == highest


def test_a_day_begins_at_midnight_utc() -> None:
    midnight = 1_795_046_400
    days = [day_of({"start": start}) for start in (midnight - 1, midnight)]
    assert days == ["2026-11-18", "2026-11-19"]


def held(path: Path) -> list[tuple[str, int, int]]:
    return sorted(duckdb.read_parquet(str(path)).project("entryId, plays, version").fetchall())


def test_a_parquet_file_holds_one_row_a_key_whatever_is_merged_again(tmp_path: Path) -> None:
    path = tmp_path / "it's a day.parquet"
    first, second = [row("a", 1, 10), row("b", 1, 20)], [row("a", 2, 11), row("c", 2, 30)]
    _merge(path, first)
    _merge(path, second)
    once = held(path)
    _merge(path, second)
    _merge(path, first)
    assert once == held(path) == [("a", 11, 2), ("b", 20, 1), ("c", 30, 2)]
    _merge(path, [row("b", 3, 0, deleted=1)])
    assert held(path) == [("a", 11, 2), ("c", 30, 2)]


def test_a_day_file_written_before_a_metric_and_a_dimension_were_added_takes_changed_rows(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    _merge(path, [row("a", 1, 10), row("b", 1, 20)])
    earlier = tmp_path / "earlier.parquet"
    duckdb.read_parquet(str(path)).project("* EXCLUDE (views, browser)").write_parquet(str(earlier))
    _merge(earlier, [row("a", 2, 11) | {"views": 5}])
    found = duckdb.read_parquet(str(earlier)).order("entryId").project("entryId, plays, views, browser").fetchall()
    assert found == [("a", 11, 5, ""), ("b", 20, 0, "")]


def test_a_column_that_this_catalog_does_not_have_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    _merge(path, [row("a", 1, 10), row("b", 1, 20)])
    later = tmp_path / "later.parquet"
    duckdb.read_parquet(str(path)).project("*, 7 AS newMetric, 'x' AS newName").write_parquet(str(later))
    _merge(later, [row("a", 2, 11)])
    found = duckdb.read_parquet(str(later)).order("entryId").project("entryId, plays, newMetric, newName").fetchall()
    assert found == [("a", 11, 0, ""), ("b", 20, 7, "x")]


NDJSON, PARQUET = "clickhouse-ndjson", "parquet"


@pytest.mark.parametrize(("first", "then"), [(PARQUET, NDJSON), (NDJSON, PARQUET)])
@pytest.mark.parametrize("is_noted", [True, False])
def test_a_folder_that_holds_one_form_refuses_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str, is_noted: bool
) -> None:
    record = SimpleNamespace(
        key=lambda: key(entry="a"),
        value=lambda: b'{"plays":1}',
        timestamp=lambda: (2, 5),
        partition=lambda: 0,
        offset=lambda: 0,
    )
    broker = SimpleNamespace(
        topics=SimpleNamespace(windows="windows"),
        topic_id=lambda topic: "t",
        starts=lambda topic: {0: 0},
        ends=lambda topic, committed: {0: 1},
        positions=lambda ends: {},
        read=lambda topic, begin, end: [[record]] if begin[0] < end[0] else [],
    )
    monkeypatch.setattr(Broker, "from_environment", lambda: broker)
    runner = CliRunner()
    wrote = runner.invoke(history, ["export", str(tmp_path), "--to", first], catch_exceptions=False)
    assert (wrote.exit_code, wrote.stdout) == (0, "1 rows changed since the last run, 1 files written\n")
    if not is_noted:
        state = tmp_path / STATE
        state.write_bytes(
            orjson.dumps({name: said for name, said in orjson.loads(state.read_bytes()).items() if name != "form"})
        )
    refused = runner.invoke(history, ["export", str(tmp_path), "--to", then]).exception
    assert isinstance(refused, RefusedSetting)
    assert refused.line == f"{tmp_path} holds an export --to {first}: give --to {then} a folder of its own"
    again = runner.invoke(history, ["export", str(tmp_path), "--to", first], catch_exceptions=False)
    assert again.stdout == "0 rows changed since the last run, 0 files written\n"


def test_the_file_for_clickhouse_is_what_this_catalog_needs() -> None:
    """Renew it by: python -m pipeline history clickhouse-sql > deploy/history/clickhouse.sql."""
    assert SQL.read_text() == statements()


def test_clickhouse_keeps_every_column_and_every_window_that_a_warehouse_gets() -> None:
    sql = statements()
    table = sql[sql.index("EXISTS history\n") : sql.index("ENGINE = ReplacingMergeTree")]
    assert tuple(re.findall(r"^    (\w+) ", table, re.MULTILINE)) == COLUMNS
    # By hours and by days; distinct sessions of hours do not add up to those of a day.
    sums = {name: sql.count(f"sum({name}) AS {name}") for name in METRIC_NAMES}
    assert sums == dict.fromkeys(METRIC_NAMES, 2) | {"sessions": 1, "audience": 1}
    assert "IN (" + ", ".join(f"'{name}'" for name in HISTORY) + ")" in sql
