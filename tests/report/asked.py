"""A read model in memory, filled from records of topic `windows`, and what it answers."""

from __future__ import annotations

import sqlite3
from typing import Any

from pipeline.report import answer, schema, sql
from pipeline.report.query import Query
from pipeline.report.readers import table_of, teach
from pipeline.report.record import Record, fold


def store(found: list[Record]) -> sqlite3.Connection:
    """Return a read model that holds these records."""
    connection = sqlite3.connect(":memory:")
    teach(connection)
    for statement in schema.statements():
        connection.execute(statement)
    batch = fold(found)
    assert batch.unreadable == 0
    for table, rows in batch.rows.items():
        connection.executemany(table.upsert(), [key + values for key, values in rows.items() if values])
    return connection


def ask(connection: sqlite3.Connection, query: Query) -> dict[str, Any]:
    """Return the content of the answer to a query."""
    statement = sql.statement(query)
    table = table_of(statement, connection.execute(statement.text, statement.values).fetchall())
    return answer.content(query, table)
