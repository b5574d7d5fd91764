"""How long a worker takes to count again: with its store wiped (all of it read back from Kafka), and with it kept."""

from __future__ import annotations

import re
import shutil
import statistics
import time
from collections.abc import Iterator

from deploy.local.kafka import free_port
from tests.load import ours, state
from tests.load.measure import cpu_seconds, peak_mib
from tests.load.session import PARTITIONS, Session
from tests.load.table import Goal, Row

PREFIX = "start-"
ROWS = 1_000_000
MARKS = 5_000_000
COUNTS = '"plays":1,"views":3,"bufferTime":103'
OPEN = re.compile(r"partition \d+ open at -?\d+ after ([\d.]+) s")


def rows_of(total: int, newest_s: int) -> state.Rows:
    """Return rows of minutes, as a day of 500 entries a partition leaves them: each once."""
    each = total // PARTITIONS // state.LEAD

    def rows(partition: int, batch: int) -> Iterator[state.RowText]:
        for number in range(batch * each, (batch + 1) * each):
            minute, entry = divmod(number, 500)
            yield 1, newest_s - minute * 60, str(1000 + entry % 50), f'"1_{entry:06d}"', COUNTS

    return rows


def bench(session: Session) -> None:
    rows, marks = (ROWS // 10, MARKS // 10) if session.quick else (ROWS, MARKS)
    now = int(time.time()) // 60 * 60
    session.say(f"writing {rows:,} rows and {marks:,} marks")
    state.write(session, PREFIX, rows_of(rows, now), marks, now * 1000)
    wiped = [_start(session, wipe=True) for _ in range(min(3, session.runs))]
    kept = [_start(session, wipe=False) for _ in range(min(3, session.runs))]
    cpu, wall, memory = (statistics.median(values) for values in list(zip(*wiped, strict=True))[:3])
    what = f"store wiped: {rows:,} rows and {marks:,} marks"
    note = f"from the command on; {memory:.0f} MiB"
    session.add(Row("start", what, cpu, "s CPU", f"{wall:.1f} s", goal=Goal(at_most=20), note=note))
    cpu, wall, memory, opened = (statistics.median(values) for values in zip(*kept, strict=True))
    note = f"slowest partition; {wall:.1f} s and {cpu:.1f} s CPU from the command on; {memory:.0f} MiB"
    session.add(Row("start", "store kept: assignment to counting", opened, "s", goal=Goal(at_most=3), note=note))
    ours.forget(session, PREFIX)


def _start(session: Session, wipe: bool) -> tuple[float, float, float, float]:
    """Return CPU seconds, wall seconds and MiB until ready, and seconds the slowest partition took to open."""
    folder, port = session.folder / PREFIX, free_port()
    if wipe:
        shutil.rmtree(folder, ignore_errors=True)
    log = session.log("start")
    log.unlink(missing_ok=True)
    began = time.monotonic()
    settings = {"WORKER_PORT": str(port), "LOG_FORMAT": "console"}
    with ours.process(session, ["pipeline", "worker"], PREFIX, settings, "start") as running:
        ours.wait_ready(running, port, 300)
        taken = cpu_seconds(running.pid), time.monotonic() - began, peak_mib(running.pid)
    opened = max(float(seconds) for seconds in OPEN.findall(log.read_text()))
    session.say(f"{'wiped' if wipe else 'kept'}: {taken[0]:.1f} s CPU, {taken[1]:.1f} s, opened in {opened:.2f} s")
    return *taken, opened
