"""The report's store is copied while it is written, and put back only where nobody has it open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.commands.backups import backup, restore
from pipeline.config import RefusedSetting
from pipeline.report.readmodel import Identity, ReadModel
from pipeline.report.record import Record, fold

START = 1_795_000_000 // 3600 * 3600


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "report.sqlite"
    monkeypatch.setenv("REPORT_STORE", str(path))
    return path


def opened(path: Path) -> ReadModel:
    model = ReadModel(path)
    model.open(Identity("topic", {0: 100}))
    return model


def write(model: ReadModel, offset: int, plays: int) -> None:
    key = b'{"window":"1h","start":%d,"set":"partner","partnerId":"7","partition":0}' % START
    position = b'{"offset":%d,"time":1,"ledger":{}}' % offset
    records = [
        Record(0, offset, key, b'{"plays":%d,"offset":1}' % plays),
        Record(0, offset, b'{"position":0}', position),
    ]
    model.apply(fold(records))


def plays(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        found: int = connection.execute('SELECT sum(plays) FROM "rows_partner_1h"').fetchone()[0]
        return found
    finally:
        connection.close()


def ran(command: object, *arguments: Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def refusal(result: Result) -> str:
    assert isinstance(result.exception, RefusedSetting)
    return result.exception.line


def test_a_store_that_is_being_written_is_backed_up_and_goes_back_when_it_is_closed(
    store: Path, tmp_path: Path
) -> None:
    model, file = opened(store), tmp_path / "copy"
    write(model, 1, 5)
    said = ran(backup, file)
    assert (said.exit_code, said.output.split(",")[0]) == (0, f"{file}: 1 rows")
    write(model, 2, 9)
    assert refusal(ran(restore, file)) == f"a report has {store} open: stop it first"
    assert plays(store) == 9
    model.close()

    restored = ran(restore, file)
    assert (restored.exit_code, restored.output, plays(store)) == (0, f"{store}: 1 rows\n", 5)
    again = opened(store)
    assert again.next_offsets == {0: 2}
    again.close()


def test_a_damaged_or_foreign_file_is_refused_and_the_store_stays(store: Path, tmp_path: Path) -> None:
    model = opened(store)
    write(model, 1, 5)
    model.close()
    rubbish, foreign = tmp_path / "rubbish", tmp_path / "foreign"
    rubbish.write_bytes(b"no database at all")
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE meta (name TEXT, value TEXT)")
    assert refusal(ran(restore, rubbish)).startswith(f"{rubbish} is no store of a report")
    assert refusal(ran(restore, foreign)).startswith(f"{foreign} is of another catalog")
    assert plays(store) == 5


def test_a_damaged_store_is_replaced(store: Path, tmp_path: Path) -> None:
    model, file = opened(store), tmp_path / "copy"
    write(model, 1, 5)
    ran(backup, file)
    model.close()
    store.write_bytes(b"rubbish" * 1000)
    assert ran(restore, file).exit_code == 0
    assert plays(store) == 5


def test_without_a_store_there_is_nothing_to_back_up(store: Path, tmp_path: Path) -> None:
    assert refusal(ran(backup, tmp_path / "copy")) == f"there is no store {store}: check REPORT_STORE and DATA_DIR"
