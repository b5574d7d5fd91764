"""One run: traffic and faults from a seed, then everything heals and drains, then every row is judged."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.checks import Verdict, judge
from tests.chaos.faults import FAULTS
from tests.chaos.faults.fault import Fault
from tests.chaos.sending import Journal, Sender
from tests.chaos.stage import OPERATOR, PLAIN, PORTS, Stage
from tests.chaos.topics import read_beacons, read_windows
from tests.chaos.watch import NoAnswer, Reader, Watch, settled
from tests.e2e.sender import Outcome
from tests.e2e.traffic import Request, traffic

RATE = 400
RESENT = 0.1
# Traffic is planned by parts, so that an entry's id stays short and every part has entries of its own.
PART_SECONDS = 60
# Half of the faults have company.
TOGETHER = 0.5
PAUSE_SECONDS = (1.0, 3.0)
HEAL_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Turn:
    """A fault's place in the plan: seconds after the last one that it waits, and how long it lasts."""

    fault: Fault
    after: float
    lasts: float
    alone: bool


def plan(seed: int) -> Iterator[Turn]:
    """Yield faults without end: all kinds in an order drawn from the seed, then all in another, and so on."""
    draw = random.Random(seed)
    while True:
        for kind in draw.sample(FAULTS, len(FAULTS)):
            fault = kind(random.Random(draw.getrandbits(64)))
            yield Turn(fault, draw.uniform(*PAUSE_SECONDS), draw.uniform(*kind.seconds), draw.random() > TOGETHER)


@dataclass(slots=True)
class Result:
    """What a run did and found."""

    seed: int
    journal: Journal
    freezes: list[tuple[int, float, float]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    restarts: dict[str, int] = field(default_factory=dict)
    reads: int = 0
    claims: int = 0
    stored: int = 0
    rows: int = 0
    drained: float = 0.0
    verdict: Verdict = field(default_factory=lambda: Verdict(0, 0, []))

    @property
    def findings(self) -> list[str]:
        return self.verdict.findings

    def summary(self) -> str:
        """Return it as a few lines."""
        journal = self.journal
        classes = ", ".join(f"{journal.count(outcome)} {outcome.name.lower()}" for outcome in reversed(Outcome))
        kinds = ", ".join(f"{name} {number}" for name, number in sorted(self.faults.items(), key=_by_number))
        awake = [journal.slowest(share, self.freezes) * 1000 for share in (0.99, 1)]
        slow = f"p99 {journal.slowest(0.99) * 1000:.0f} ms, slowest {journal.slowest(1) * 1000:.0f} ms, "
        slow += f"and {awake[0]:.0f} and {awake[1]:.0f} ms of ingests that were not frozen"
        return (
            f"seed {self.seed}: {journal.sent} beacons sent, {len(journal.outcomes)} distinct: {classes}; "
            f"answers {dict(journal.answers)}, {slow}\n"
            f"{self.faults.total()} faults: {kinds}; ended by themselves: {self.restarts}\n"
            f"{self.stored} lines in topic beacons, {self.rows} rows; report read {self.reads} times, "
            f"countedThrough checked {self.claims} times; counted {self.drained:.1f} s after the heal\n"
            f"lost {self.verdict.lost}, doubled {self.verdict.doubled}"
        )


def _by_number(pair: tuple[str, int]) -> tuple[int, str]:
    return int(pair[0].split()[0].removeprefix("F")), pair[0]


class Run:
    """Puts traffic, faults and watch together."""

    def __init__(self, stage: Stage, seed: int, minutes: float) -> None:
        self._stage = stage
        self._seed = seed
        self._seconds = minutes * 60
        self._began = time.monotonic()
        self._result = Result(seed, Journal())

    async def run(self) -> Result:
        """Do all of it.

        Raises:
            AssertionError: something did not heal.
        """
        stage, result = self._stage, self._result
        await stage.start()
        self._began = time.monotonic()
        reader = Reader(f"{stage.line.report_url}", OPERATOR)
        watch = Watch(reader, result.journal, stage.clocks_agree)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            tending = group.create_task(stage.tend())
            sending = group.create_task(self._send())
            await self._hurt()
            self._say("healed")
            await sending
            result.drained = await self._drain(reader)
            tending.cancel()
            watching.cancel()
        await self._judge(reader, watch)
        return result

    async def _send(self) -> None:
        senders = [Sender(port, self._result.journal) for port in PORTS.values()]
        for number in range(max(1, round(self._seconds / PART_SECONDS))):
            planned = traffic(self._seed * 1000 + number, int(RATE * min(PART_SECONDS, self._seconds)), RESENT)
            halves: tuple[list[Request], ...] = (planned[::2], planned[1::2])
            pairs = zip(senders, halves, strict=True)
            rate = RATE * (1 + RESENT) / 2
            await asyncio.gather(*(sender.send(half, rate) for sender, half in pairs))
        for sender in senders:
            sender.close()

    async def _hurt(self) -> None:
        end = self._began + self._seconds
        under_way: set[asyncio.Task[None]] = set()
        done: list[asyncio.Task[None]] = []
        for turn in plan(self._seed):
            await asyncio.sleep(turn.after)
            if turn.alone and under_way:
                await asyncio.wait(under_way)
            while turn.fault.hurts & self._stage.busy:
                await asyncio.wait(under_way, return_when="FIRST_COMPLETED")
            if time.monotonic() + turn.lasts > end:
                break
            task = asyncio.create_task(self._one(turn))
            under_way.add(task)
            done.append(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*done)
        for name in self._stage.processes:
            await self._stage.back(name)

    async def _one(self, turn: Turn) -> None:
        fault, stage = turn.fault, self._stage
        stage.busy |= fault.hurts
        self._say(f"{fault} for {turn.lasts:.1f} s")
        try:
            await fault.inject(stage)
            await asyncio.sleep(turn.lasts)
            await fault.heal(stage)
        finally:
            stage.busy -= fault.hurts
        self._result.faults[f"F{fault.number} {fault.name}"] += 1

    async def _drain(self, reader: Reader) -> float:
        last = self._result.journal.acked[-1][0] if self._result.journal.acked else 0
        took = await reader.counted(last, HEAL_SECONDS)
        await settled(reader, f"127.0.0.1:{PLAIN}", f"{self._stage.line.prefix}beacons", HEAL_SECONDS)
        return took

    async def _judge(self, reader: Reader, watch: Watch) -> None:
        result, prefix = self._result, self._stage.line.prefix
        bootstrap = f"127.0.0.1:{PLAIN}"
        beacons = await asyncio.to_thread(read_beacons, bootstrap, f"{prefix}beacons")
        windows = await asyncio.to_thread(read_windows, bootstrap, f"{prefix}windows")
        report = await reader.whole_table()
        result.verdict = judge(result.journal.outcomes, beacons, windows, report)
        result.verdict.findings += watch.findings
        result.stored, result.rows = len(beacons.stored), len(report)
        result.reads, result.claims, result.freezes = watch.reads, watch.claims, self._stage.freezes
        result.restarts = self._stage.restarts
        if not watch.reads:
            result.verdict.findings.append("the report was never read while everything was hurt")

    def _say(self, line: str) -> None:
        told = f"{time.monotonic() - self._began:7.1f} s  {line}"
        self._result.lines.append(told)
        print(told, flush=True)


async def run(seed: int, minutes: float, folder: Path) -> Result:
    """Run once in a folder of its own."""
    stage = Stage(folder)
    try:
        return await Run(stage, seed, minutes).run()
    except (AssertionError, NoAnswer, ExceptionGroup):
        print(*stage.line.logs(), sep="\n")
        raise
    finally:
        await stage.close()
