"""The read model asked from a few threads, each with its own connection: reads never wait for writes."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.report.answer import Table
from pipeline.report.distinct import SketchCount
from pipeline.report.problem import Problem, Refused, too_slow
from pipeline.report.readmodel import is_damage
from pipeline.report.slots import SlotsSum, most
from pipeline.report.sql import BEFORE, ROW, Statement

log = logging.getLogger(__name__)

# SQLite steps between two looks at the clock: about a millisecond.
STEPS = 50_000

NOT_YET = Problem(
    503,
    "not-yet",
    "Not ready.",
    "The counts are being read from Kafka: try again in a moment.",
    headers={"Retry-After": "2"},
)


@dataclass(frozen=True, slots=True)
class Read:
    """What one statement found, and the revision of the file it was found in."""

    revision: int
    table: Table


def table_of(statement: Statement, found: list[tuple[Any, ...]]) -> Table:
    """Return the rows of an answer, sorted out by kind."""
    first = 2 + len(statement.by)
    last = first + len(statement.sums)
    before = None
    if statement.before is not None:
        sums = next(row for row in found if row[0] == BEFORE)[first:last]
        before = (*statement.before, sums)
    rows = [row[2:] for row in found if row[0] == ROW]
    return Table(statement.by, statement.sums, rows, found[0][1], found[0][first:last], before)


def teach(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that statements call."""
    # The stubs know integers only.
    connection.create_aggregate("slots_sum", 1, SlotsSum)  # type: ignore[arg-type]
    connection.create_aggregate("sketch_count", 2, SketchCount)  # type: ignore[arg-type]
    connection.create_function("slots_most", 3, most, deterministic=True)


class Readers:
    """A pool of reading threads over one file."""

    def __init__(
        self, path: Path, threads: int, deadline_seconds: float, on_damage: Callable[[int], None] = lambda _: None
    ) -> None:
        """Prepare; `on_damage` hears, in a reading thread, of which generation the file was found damaged."""
        self._uri = f"{path.resolve().as_uri()}?mode=ro"
        self._deadline = deadline_seconds
        self._on_damage = on_damage
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="report-read")

    async def ask(self, statement: Statement, generation: int) -> Read:
        """Run a statement; `generation` tells whether the file may be another one than before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._ask, statement, generation)

    def _connection(self, generation: int) -> sqlite3.Connection:
        held: tuple[int, sqlite3.Connection] | None = getattr(self._own, "held", None)
        if held is not None and held[0] == generation:
            return held[1]
        if held is not None:
            held[1].close()
            self._own.held = None
        connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA mmap_size = 268435456")
        teach(connection)
        self._own.held = (generation, connection)
        return connection

    def _ask(self, statement: Statement, generation: int) -> Read:
        end = time.monotonic() + self._deadline
        try:
            connection = self._connection(generation)
            connection.set_progress_handler(lambda: time.monotonic() > end, STEPS)
            connection.execute("BEGIN")
            try:
                meta = dict(connection.execute("SELECT name, value FROM meta"))
                found = connection.execute(statement.text, statement.values).fetchall()
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            if time.monotonic() > end:
                raise too_slow(
                    f"No answer within {self._deadline:g} s: ask for a shorter range or a longer window."
                ) from error
            log.error("the read model cannot be read: %s", error)
            if is_damage(error):
                self._on_damage(generation)
            raise Refused(NOT_YET) from error
        if not meta["complete"]:
            # Another file than was asked for: the word that it is built again is still on its way.
            raise Refused(NOT_YET)
        return Read(int(meta["revision"]), table_of(statement, found))

    def close(self) -> None:
        """Let running statements end, then stop."""
        self._pool.shutdown(wait=True, cancel_futures=True)
