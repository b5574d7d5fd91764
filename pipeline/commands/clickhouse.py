"""What makes ClickHouse keep hour rows for years: tables and views, from the catalog. Pure.

deploy/history/clickhouse.sql is what this says; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.catalog import METRICS, Adds
from pipeline.commands.warehouse import DIMENSION_NAMES, HISTORY, METRIC_NAMES, TEXTS

_HEAD = """\
-- Hour rows of topic `windows` in ClickHouse, for years; printed by `python -m pipeline history clickhouse-sql`.
-- Run it once: clickhouse-client --multiquery < clickhouse.sql
--
-- Set kafka_broker_list, and put TOPIC_PREFIX or STATE_PREFIX before `windows`, in windows_queue below.
-- Without the Kafka engine: python -m pipeline history export FOLDER --to clickhouse-ndjson, then
--   INSERT INTO history FROM INFILE 'FOLDER/rows-*.ndjson.gz' FORMAT JSONEachRow
--
-- A row is written again at every checkpoint that changes it. ReplacingMergeTree keeps the newest version of a key,
-- whatever order and however often rows arrive, so the Kafka engine's at-least-once delivery counts nothing twice.
-- Partitions stay apart in `history`; the views add them up. Query the views, never `history` without FINAL.
-- Distinct sessions add up over partitions and not over hours: `days` has none.
-- After a new metric or set in the catalog: ALTER TABLE history ADD COLUMN, and the views anew.
"""

_QUEUE = """\
-- kafka: begin
CREATE TABLE IF NOT EXISTS windows_queue (value String)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = '127.0.0.1:9092',
    kafka_topic_list = 'windows',
    kafka_group_name = 'history',
    -- The whole value as it is; the key comes as _key. Only committed records are read (librdkafka's default).
    kafka_format = 'RawBLOB',
    kafka_num_consumers = 1;
-- kafka: end

-- An empty value is the end of a row's retention: history keeps the row. After `erase --partner P`, which looks the
-- same from here, run: DELETE FROM history WHERE partnerId = 'P'
"""

# What adds up over hours.
ADDITIVE = tuple(one.name for one in METRICS if one.adds is not Adds.SESSION and one.name in METRIC_NAMES)


def statements() -> str:
    """Return every statement, with what people need to know."""
    return "\n".join((_HEAD, _table(), _QUEUE.rstrip("\n"), _feed(), _hours(), _days()))


def _lines(lines: Iterable[str]) -> str:
    return ",\n".join(f"    {line}" for line in lines)


def _table() -> str:
    low = {"window", "set"}
    texts = {name: "LowCardinality(String)" if name in low else "String" for name in TEXTS}
    kinds = {"window": texts.pop("window"), "start": "UInt32"} | texts | {"partition": "UInt16"}
    kinds |= dict.fromkeys(METRIC_NAMES, "Int64") | {"version": "UInt64", "deleted": "UInt8"}
    columns = _lines(f"{name} {kind}" for name, kind in kinds.items())
    order = ", ".join(("partnerId", "window", "set", *DIMENSION_NAMES[1:], "start", "partition"))
    return (
        f"CREATE TABLE IF NOT EXISTS history\n(\n{columns}\n)\nENGINE = ReplacingMergeTree(version, deleted)\n"
        f"PARTITION BY toYYYYMM(toDateTime(start, 'UTC'))\nORDER BY ({order});\n"
    )


def _feed() -> str:
    def text(name: str) -> str:
        return f"JSONExtractString(_key, '{name}') AS {name}"

    selected = [text("window"), "JSONExtractUInt(_key, 'start') AS start", *(text(name) for name in TEXTS[1:])]
    selected.append("JSONExtractUInt(_key, 'partition') AS partition")
    selected += [f"JSONExtractInt(value, '{name}') AS {name}" for name in METRIC_NAMES]
    selected += ["toUnixTimestamp64Milli(assumeNotNull(_timestamp_ms)) AS version", "0 AS deleted"]
    windows = ", ".join(f"'{name}'" for name in HISTORY)
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS history_feed TO history AS\nSELECT\n{_lines(selected)}\n"
        f"FROM windows_queue\nWHERE value != '' AND JSONExtractString(_key, 'window') IN ({windows});\n"
    )


def _hours() -> str:
    dimensions = ", ".join(("set", *DIMENSION_NAMES))
    return (
        f"CREATE VIEW IF NOT EXISTS hours AS\nSELECT\n    toDateTime(start, 'UTC') AS hour,\n"
        f"{_lines(('set', *DIMENSION_NAMES))},\n{_sums(METRIC_NAMES)}\nFROM history FINAL\nWHERE window = '1h'\n"
        f"GROUP BY start, {dimensions};\n"
    )


def _days() -> str:
    dimensions = ", ".join(("set", *DIMENSION_NAMES))
    return (
        f"CREATE VIEW IF NOT EXISTS days AS\nSELECT\n    toDate(hour, 'UTC') AS day,\n"
        f"{_lines(('set', *DIMENSION_NAMES))},\n{_sums(ADDITIVE)}\nFROM hours\nGROUP BY day, {dimensions};\n"
    )


def _sums(names: Iterable[str]) -> str:
    return _lines(f"sum({name}) AS {name}" for name in names)
