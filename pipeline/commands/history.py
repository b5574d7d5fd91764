"""`history`: hour rows (and longer ones) out of topic `windows`, for the years that Kafka does not keep."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import orjson

from pipeline.batch import is_position_key
from pipeline.commands.broker import Broker, Offsets
from pipeline.commands.clickhouse import statements
from pipeline.commands.progress import Progress
from pipeline.commands.warehouse import COLUMNS, KEY, TEXTS, Row, day_of, newest, warehouse_row
from pipeline.config import RefusedSetting

STATE = "exported.json"
ROWS_AT_ONCE = 500_000


@dataclass(frozen=True, slots=True)
class Exported:
    """How far a folder's export has come.

    Attributes:
        topic: id of topic `windows`; another one is read from its beginning.
        next: per partition the next offset. runs: how many runs wrote a file.
        form: of its files; "" before the first run.
    """

    topic: str
    next: Offsets
    runs: int
    form: str


@click.group()
def history() -> None:
    """Hour rows for a warehouse: Parquet files, or lines for ClickHouse."""


@history.command("clickhouse-sql")
def clickhouse_sql() -> None:
    """Print what makes ClickHouse keep and add up hour rows: tables and views, from this version's catalog."""
    click.echo(statements(), nl=False)


@history.command("export")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", "form", type=click.Choice(("parquet", "clickhouse-ndjson")), required=True, help="See above.")
def export(folder: Path, form: str) -> None:
    """Write what is new in topic windows since the last run into FOLDER; run it hourly or daily.

    \b
    parquet             FOLDER/window=1h/set=entry/day=2026-11-23.parquet, one row a key: a changed day is merged
                        and written again. Needs duckdb (dependency group `history`).
                        SELECT sum(plays) FROM 'FOLDER/window=1h/set=partner/*.parquet' WHERE partnerId = '101'
    clickhouse-ndjson   FOLDER/rows-000001.ndjson.gz, ..., one a run, for INSERT ... FORMAT JSONEachRow into the
                        table of deploy/history/clickhouse.sql (which can read the topic by itself as well)

    A folder holds one form. Rows stay apart by partition: add them up. Times in ms where the metric is a time. Every
    row carries a version, so a run that was cut short, or repeated, changes nothing. A row is final some time after
    its window: beacons may come late. Files written before a metric or dimension was added have no column of it, until
    their day changes: read several by read_parquet(..., union_by_name = true).

    Rows whose retention is over stay in the files. Rows that `erase` deleted are deleted in the files too, by the next
    run within seven days (as long does Kafka keep deletions) and while the rows' retention lasts. What was not erased
    by then is in no topic any more, and `erase` cannot reach it: delete it from the files by hand.
    """
    broker = Broker.from_environment()
    topic = broker.topics.windows
    topic_id = broker.topic_id(topic)
    done = _exported(folder)
    if done.form not in ("", form):
        raise RefusedSetting(f"{folder} holds an export --to {done.form}: give --to {form} a folder of its own")
    if done.topic != topic_id:
        done = Exported(topic_id, {}, done.runs, form)
    write = _write_parquet if form == "parquet" else _write_ndjson
    if form == "parquet":
        _duckdb()
    first, end = broker.starts(topic), broker.ends(topic, committed=True)
    begin = {part: max(offset, done.next.get(part, 0)) for part, offset in first.items()}
    now_s = {part: position.time / 1000 for part, position in broker.positions(end).items()}
    rows: list[Row] = []
    with Progress("reading windows", begin, end) as progress:
        for messages in broker.read(topic, begin, end):
            for message in messages:
                if is_position_key(message.key()):
                    continue
                time_s = now_s.get(message.partition(), 0.0)
                row = warehouse_row(message.key(), message.value(), message.timestamp()[1], time_s)
                if row is not None:
                    rows.append(row)
            if len(rows) >= ROWS_AT_ONCE:
                rows = newest(rows)
            progress.read(messages)
    rows = newest(rows)
    total = write(folder, rows, done.runs + 1) if rows else 0
    _note(folder, Exported(topic_id, end, done.runs + bool(rows), form))
    click.echo(f"{len(rows)} rows changed since the last run, {total} files written")


def _exported(folder: Path) -> Exported:
    path = folder / STATE
    if not path.exists():
        return Exported("", {}, 0, "")
    words = orjson.loads(path.read_bytes())
    next_ = {int(part): offset for part, offset in words["next"].items()}
    return Exported(words["topic"], next_, words["runs"], words.get("form") or _form_of(folder))


def _form_of(folder: Path) -> str:
    """Return the form of what an earlier version wrote, which did not note it; "" if nothing tells."""
    if any(folder.glob("window=*")):
        return "parquet"
    return "clickhouse-ndjson" if any(folder.glob("rows-*.ndjson.gz")) else ""


def _note(folder: Path, exported: Exported) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    words = {"topic": exported.topic, "next": {str(part): at for part, at in exported.next.items()}}
    _replace(folder / STATE, orjson.dumps(words | {"runs": exported.runs, "form": exported.form}))


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _write_ndjson(folder: Path, rows: list[Row], run: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    _replace(folder / f"rows-{run:06}.ndjson.gz", gzip.compress(lines, 5, mtime=0))
    return 1


def _duckdb() -> object:
    try:
        import duckdb
    except ImportError as error:
        raise RefusedSetting("--to parquet needs duckdb: install dependency group `history`") from error
    return duckdb


def _write_parquet(folder: Path, rows: list[Row], _run: int) -> int:
    days: dict[Path, list[Row]] = defaultdict(list)
    for row in rows:
        days[folder / f"window={row['window']}" / f"set={row['set']}" / f"day={day_of(row)}.parquet"].append(row)
    for path, changed in days.items():
        _merge(path, changed)
    return len(days)


def _merge(path: Path, changed: list[Row]) -> None:
    """Write a day's file again with the rows that changed: of each key the newest, without those deleted."""
    import duckdb

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    kinds = dict.fromkeys(COLUMNS, "BIGINT") | dict.fromkeys(TEXTS, "VARCHAR")
    typed = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in kinds.items()) + "}"
    kept = {name: kind for name, kind in kinds.items() if name != "deleted"}
    with tempfile.NamedTemporaryFile(suffix=".ndjson") as file, duckdb.connect() as database:
        file.writelines(orjson.dumps(row) + b"\n" for row in changed)
        file.flush()
        read = f"FROM read_json('{file.name}', format = 'newline_delimited', columns = {typed})"
        old = f"read_parquet({_quoted(path)}, hive_partitioning = false)"
        held = (
            dict(database.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM {old})").fetchall())
            if path.exists()
            else {}
        )
        # The file's own columns too: another catalog's rows lose nothing.
        wanted = kept | held
        both = f"{read} SELECT {_selected(wanted, kept)}, deleted"
        if held:
            both += f" UNION ALL FROM {old} SELECT {_selected(wanted, held)}, 0"
        first = f"row_number() OVER (PARTITION BY {_listed(KEY)} ORDER BY version DESC, deleted) = 1"
        database.execute(
            f"COPY (SELECT {_listed(wanted)} FROM (FROM ({both}) QUALIFY {first}) WHERE deleted = 0 "
            f"ORDER BY {_listed(KEY)}) "
            f"TO {_quoted(partial)} (FORMAT parquet, COMPRESSION zstd)"
        )
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def _selected(wanted: dict[str, str], held: Container[str]) -> str:
    """Return what to select for these columns where only some are held: "" and 0 are those of a row without them."""
    empty = {name: "''" if kind == "VARCHAR" else "0" for name, kind in wanted.items()}
    return ", ".join(f'"{name}"' if name in held else f'{empty[name]} AS "{name}"' for name in wanted)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
