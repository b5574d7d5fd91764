"""Killed at the N-th system call of a kind, for every N of a fixed script: nothing acked is lost, nothing doubled.

strace sends SIGKILL on entry to the call, so what the call was to do has not been done. One line lives through all
of it: each crash is a part of one history, and the report is held against all of it at the end. CRASH_STRIDE=1
takes every N of the calls that talk to Kafka too.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checks import Verdict, judge
from tests.chaos.sending import Journal, Sender
from tests.chaos.topics import read_beacons, read_windows
from tests.chaos.watch import Reader
from tests.e2e.broker import Broker
from tests.e2e.line import Line, Process
from tests.e2e.traffic import traffic
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e

STRIDE = int(os.environ.get("CRASH_STRIDE", "2"))
BEACONS = 200
AT_ONCE = 100
MOST = 100
NOWHERE = "127.0.0.1:9"


class TracedLine(Line):
    """A line whose next process dies at the N-th call of a kind, if `dies_at` says so."""

    dies_at: tuple[str, int] | None = None

    def _process(self, name: str, arguments: tuple[str, ...], port: int, **more: str) -> Process:
        if more.get("KAFKA_BOOTSTRAP") == NOWHERE:
            arguments = ("tests.chaos.impatient", *arguments[1:])
        if self.dies_at is not None:
            call, number = self.dies_at
            arguments = ("tests.chaos.traced", call, str(number), *arguments)
        return super()._process(name, arguments, port, **more)


@pytest.fixture
def traced(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TracedLine]:
    line = TracedLine(broker.bootstrap, f"{request.node.name[:20]}-", tmp_path / "line", PARTITIONS="1")
    try:
        yield line
    finally:
        line.close()


class Script:
    """Sends 200 beacons, 100 at a time, over and over; every time other ones."""

    def __init__(self, line: TracedLine) -> None:
        self.journal = Journal()
        self.points: Counter[str] = Counter()
        self._line = line
        self._parts = 0

    async def send(self, process: Process) -> None:
        """Send the script, up to its end or the end of the process."""
        self._parts += 1
        planned = traffic(self._parts, BEACONS, 0.1, entries=3)
        sender = Sender(self._line.ingest_port, self.journal)
        for start in range(0, len(planned), AT_ONCE):
            if not process.running:
                break
            await sender.send(planned[start : start + AT_ONCE], 1e9)
        sender.close()

    async def crash_ingest(self, call: str, numbers: Sequence[int], *, kafka: bool, spooled: bool = False) -> None:
        """Kill ingest at each of these calls, until it outlives the script."""
        for number in numbers:
            if spooled:
                await self.spool()
            self._line.dies_at = (call, number)
            ingest = self._line.ingest(**({} if kafka else {"KAFKA_BOOTSTRAP": NOWHERE}), **SMALL)
            if not await self._lives_through(ingest, drained=kafka):
                self.points[f"ingest {call} with{'' if kafka else 'out'} Kafka"] += 1
                continue
            return

    async def _lives_through(self, ingest: Process, drained: bool) -> bool:
        ingest.start_only()
        try:
            await ingest.ready()
            refused = self.journal.sent - self.journal.answers["200"]
            await self.send(ingest)
            if self.journal.sent - self.journal.answers["200"] != refused:
                return False
            if drained:
                await until(lambda: not ingest.running or not self._files(), 60, "the spool is empty")
            return ingest.running
        except AssertionError:
            assert not ingest.running, f"neither ready nor dead: {ingest.last_lines()}"
            return False
        finally:
            ingest.kill()

    async def spool(self) -> None:
        """Send the script while Kafka is away."""
        self._line.dies_at = None
        ingest = await self._line.ingest(KAFKA_BOOTSTRAP=NOWHERE, **SMALL).start()
        await self.send(ingest)
        ingest.kill()

    def _files(self) -> list[Path]:
        return list(self._line.folder.glob("spool/**/*.seg"))

    async def empty(self) -> None:
        """Have an ingest bring what is in the spool into Kafka, and end in order."""
        self._line.dies_at = None
        ingest = await self._line.ingest(**SMALL).start()
        await self.send(ingest)
        await until(lambda: not self._files(), 60, "the spool is empty")
        await ingest.stop()


# Small files, so that the script fills, closes and deletes several.
SMALL = {"INGEST_SPOOL_SEGMENT_KIB": "64"}


async def judged(line: TracedLine, journal: Journal) -> Verdict:
    """Wait until everything acked is counted, and hold every row against the journal."""
    reader = Reader(line.report_url, "")
    await reader.counted(journal.acked[-1][0], 120)
    beacons = read_beacons(line.bootstrap, f"{line.prefix}beacons")
    windows = read_windows(line.bootstrap, f"{line.prefix}windows")
    return judge(journal.outcomes, beacons, windows, await reader.whole_table())


async def test_ingest_may_be_killed_at_any_sync_rename_delete_and_send(traced: TracedLine) -> None:
    await traced.topics()
    script = Script(traced)
    await script.crash_ingest("rename", range(1, MOST), kafka=True)
    await script.crash_ingest("fdatasync", range(1, MOST), kafka=False)
    await script.crash_ingest("fsync", range(1, MOST), kafka=False)
    await script.crash_ingest("unlink", range(1, MOST), kafka=True, spooled=True)
    await script.crash_ingest("sendmsg", range(1, MOST, STRIDE), kafka=True)
    await script.empty()
    for part in (traced.worker("worker"), traced.report()):
        await part.start()
    verdict = await judged(traced, script.journal)
    print(f"{script.journal.sent} beacons sent, killed at {dict(script.points)}; {verdict}")
    assert verdict == Verdict(0, 0, [])
    assert {*script.points} == {
        "ingest rename with Kafka",
        "ingest fdatasync without Kafka",
        "ingest fsync without Kafka",
        "ingest unlink with Kafka",
        "ingest sendmsg with Kafka",
    }
    assert script.points["ingest fdatasync without Kafka"] > 3


async def test_a_worker_may_be_killed_at_any_send_sync_and_rename(traced: TracedLine) -> None:
    """From init_transactions over AddPartitions, Produce and EndTxn to the store on disk."""
    await traced.topics()
    script = Script(traced)
    for part in (traced.ingest(), traced.report()):
        await part.start()
    points: Counter[str] = Counter()
    # It comes back as who it was: nobody waits for the session of the one that was killed.
    for call, numbers in (("sendmsg", range(1, MOST, STRIDE)), ("fdatasync", range(1, MOST, STRIDE))):
        for number in numbers:
            traced.dies_at = (call, number)
            worker = traced.worker("worker", WORKER_INSTANCE_ID="worker").start_only()
            await script.send(traced.processes["ingest"])
            behind = Reader(traced.report_url, "").counted(script.journal.acked[-1][0], 60)
            outlived = await _first(behind, worker)
            worker.kill()
            if outlived:
                break
            points[call] += 1
    traced.dies_at = None
    await traced.worker("worker", WORKER_INSTANCE_ID="worker").start()
    verdict = await judged(traced, script.journal)
    print(f"{script.journal.sent} beacons sent, worker killed at {dict(points)}; {verdict}")
    assert verdict == Verdict(0, 0, [])
    assert points["sendmsg"] > 3


async def _first(counted: Coroutine[Any, Any, float], worker: Process) -> bool:
    """Return whether all was counted before the worker died."""
    counting = asyncio.ensure_future(counted)
    try:
        await until(lambda: counting.done() or not worker.running, 90, "counted, or dead")
        return counting.done() and worker.running
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
