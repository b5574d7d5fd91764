"""Disks that are full, slow, or refuse, and a process killed in the middle of using one."""

from __future__ import annotations

import asyncio
import random
import subprocess

from tests.chaos.faults.fault import INGESTS, WORKERS, Fault, OnOne
from tests.chaos.stage import ADVERTISED, Stage
from tests.e2e.wait import until


class _Traced(Fault):
    """Ingest writes to its spool (Kafka is cut off), and a tracer has a hand in its system calls."""

    inject_what = ""

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.target = draw.choice(INGESTS)
        self.hurts = frozenset({self.target, "ingest to broker"})
        self._tracer: asyncio.subprocess.Process | None = None

    async def inject(self, stage: Stage) -> None:
        stage.packets.drop(ADVERTISED["ingest"])
        pid = str(stage.processes[self.target].pid)
        arguments = ("-f", "-qq", "-e", "signal=none", "-e", "trace=fdatasync", "-e", self.inject_what, "-p", pid)
        quiet = subprocess.DEVNULL
        self._tracer = await asyncio.create_subprocess_exec("strace", *arguments, stdout=quiet, stderr=quiet)

    async def heal(self, stage: Stage) -> None:
        assert self._tracer is not None
        if self._tracer.returncode is None:
            self._tracer.terminate()
        await self._tracer.wait()
        stage.packets.heal(ADVERTISED["ingest"])
        await stage.back(self.target)


class SyncFails(_Traced):
    """A few syncs fail with EIO: what they were for is answered 503, what was synced before stays."""

    number, name, seconds = 16, "fdatasync fails with EIO", (3, 6)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        first = draw.randrange(1, 30)
        self.inject_what = f"inject=fdatasync:error=EIO:when={first}..{first + draw.randrange(0, 4)}"


class SlowDisk(_Traced):
    """Every sync takes 300 ms longer."""

    number, name, seconds = 17, "fdatasync takes 300 ms", (4, 7)
    inject_what = "inject=fdatasync:delay_enter=300000"


class KilledAtSync(_Traced):
    """Killed when it calls fdatasync for the N-th time: written, not synced, not answered."""

    number, name, seconds = 18, "ingest killed at fdatasync", (3, 5)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.inject_what = f"inject=fdatasync:signal=SIGKILL:when={draw.randrange(1, 60)}"


class StateFlipped(OnOne):
    """One byte of a worker's RocksDB is another one when it starts again."""

    number, name, of, seconds = 14, "a byte of the state flipped", WORKERS, (0.5, 2)

    async def inject(self, stage: Stage) -> None:
        stage.processes[self.target].kill()
        tables = sorted(stage.line.state_folder(self.target).rglob("*.sst"))
        if not tables:
            return
        table = self.draw.choice(tables)
        with table.open("r+b") as file:
            file.seek(self.draw.randrange(max(1, table.stat().st_size)))
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 0x10]))


class SpoolFull(Fault):
    """The spool's disk is full and Kafka is cut off: 503, and nothing but the truth."""

    number, name, seconds = 15, "spool disk full", (3, 6)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.hurts = frozenset({"ingest-2", "ingest to broker"})

    async def inject(self, stage: Stage) -> None:
        await asyncio.to_thread(stage.fill, "spool")
        stage.packets.drop(ADVERTISED["ingest"])

    async def heal(self, stage: Stage) -> None:
        stage.packets.heal(ADVERTISED["ingest"])
        # Kafka takes everything while the disk is still full.
        await asyncio.sleep(self.draw.uniform(0, 2))
        stage.empty("spool")


class BrokerDiskFull(Fault):
    """Kafka's disk is full: it stops, and comes back when there is room."""

    number, name, seconds = 20, "broker disk full", (4, 10)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.hurts = frozenset({"broker"})

    async def inject(self, stage: Stage) -> None:
        await asyncio.to_thread(stage.fill, "broker")

    async def heal(self, stage: Stage) -> None:
        # It goes on until it wants another page of its disk; what it has preallocated may last.
        try:
            await until(lambda: not stage.broker.running, 8, "the broker gives up")
        except AssertionError:
            stage.broker.kill()
        stage.empty("broker")
        stage.broker.kill()
        await stage.broker.start()
