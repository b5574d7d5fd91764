"""`backup` and `restore`: the report's store as one file, taken while the report runs."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from pipeline.config import LineSettings, RefusedSetting, read_settings
from pipeline.report.config import ReportSettings
from pipeline.report.readmodel import remove
from pipeline.report.schema import version

PAGES_AT_ONCE = 2_000


def store_path() -> Path:
    """Return the report's store of this environment."""
    line, report = read_settings(LineSettings), read_settings(ReportSettings)
    path: Path = report.store or line.data_dir / "report" / "report.sqlite"
    return path


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Copy the report's store (REPORT_STORE) to FILE, one consistent state, while the report runs.

    The store can always be read again from topic windows; a backup saves the time that takes.
    """
    store = store_path()
    if not store.exists():
        raise RefusedSetting(f"there is no store {store}: check REPORT_STORE and DATA_DIR")
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as source:
        _copy(source, partial, "copying the store")
    rows = _checked(partial)
    partial.replace(file)
    click.echo(f"{file}: {rows} rows, {file.stat().st_size} bytes")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore(file: Path) -> None:
    """Put FILE, written by `backup`, in place of the report's store (REPORT_STORE). Stop the report first.

    The report goes on from the offsets in it. If the topic is another one by now, or the catalog has changed,
    it notices and reads topic windows from the beginning instead.
    """
    store = store_path()
    rows = _checked(file)
    if _is_in_use(store):
        raise RefusedSetting(f"a report has {store} open: stop it first")
    store.parent.mkdir(parents=True, exist_ok=True)
    partial = store.with_name(store.name + ".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source:
        _copy(source, partial, "restoring the store")
    # What SQLite keeps beside the old file belongs to it alone.
    remove(store)
    partial.replace(store)
    _sync_folder(store.parent)
    click.echo(f"{store}: {rows} rows")


def _copy(source: sqlite3.Connection, to: Path, label: str) -> None:
    hidden = not sys.stderr.isatty()
    bar: Any
    with (
        closing(sqlite3.connect(to)) as target,
        click.progressbar(length=1, label=label, file=sys.stderr, show_eta=True, hidden=hidden) as bar,
    ):

        def moved(_: int, remaining: int, total: int) -> None:
            bar.length = total
            bar.update(total - remaining - bar.pos)

        # One read transaction over all parts: without it the copy begins again whenever a report writes.
        source.isolation_level = None
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=PAGES_AT_ONCE, progress=moved)
        target.execute("PRAGMA journal_mode = DELETE")
    with to.open("rb") as file:
        os.fsync(file.fileno())


def _checked(file: Path) -> int:
    """Return how many rows a store holds.

    Raises:
        RefusedSetting: it is no whole store of this version's catalog.
    """
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            meta = dict(connection.execute("SELECT name, value FROM meta"))
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'rows_%'")]
            rows = sum(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables)
    except sqlite3.DatabaseError as error:
        raise RefusedSetting(f"{file} is no store of a report: {error}") from error
    if fault != "ok":
        raise RefusedSetting(f"{file} is damaged: {fault}")
    if meta.get("schema") != version():
        raise RefusedSetting(f"{file} is of another catalog: the report would build it again anyway")
    return int(rows)


def _is_in_use(store: Path) -> bool:
    """Tell whether any process has the store open: SQLite leaves write-ahead logging only when alone."""
    if not store.exists():
        return False
    try:
        with closing(sqlite3.connect(store, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return True
        raise RefusedSetting(f"{store} cannot be opened: {error}") from error
    except sqlite3.DatabaseError:
        return False  # damaged: that is what it is restored for
    return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
