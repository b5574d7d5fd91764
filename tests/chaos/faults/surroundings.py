"""What surrounds the processes: clocks, memory, descriptors, other people's records, files of settings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import time
from pathlib import Path

from confluent_kafka import Producer

from tests.chaos.clocked import write_clock
from tests.chaos.faults.fault import INGESTS, WORKERS, Fault, OnOne
from tests.chaos.stage import OPERATOR, PLAIN, Stage, key_file
from tests.e2e.wait import until

CGROUP = Path("/sys/fs/cgroup/memory/chaos")
IDLE_SOCKETS = 200
HOUR = 3600


class ClockJumps(OnOne):
    """A clock is stepped an hour ahead or back under a running process, and later put right."""

    number, name, of, seconds = 21, "clock stepped by an hour", (*INGESTS, *WORKERS), (4, 8)

    async def inject(self, stage: Stage) -> None:
        stage.clock_moved_at = time.monotonic() + HOUR
        write_clock(stage.line.clock(self.target), self.draw.choice((HOUR, -HOUR)))

    async def heal(self, stage: Stage) -> None:
        write_clock(stage.line.clock(self.target), 0)
        stage.clock_moved_at = time.monotonic()
        await stage.back(self.target)


class MemoryLimit(OnOne):
    """A worker's memory is cut below what it uses: the kernel kills it, a supervisor brings it back."""

    number, name, of, seconds = 24, "memory limit", WORKERS, (1, 4)

    async def inject(self, stage: Stage) -> None:
        process = stage.processes[self.target]
        if not CGROUP.parent.is_dir():
            # Only version 1 is known here; what remains is how it would end.
            process.kill()
            return
        group = CGROUP.with_name(f"{CGROUP.name}-{self.target}")
        group.mkdir(exist_ok=True)
        try:
            (group / "cgroup.procs").write_text(str(process.pid))
            # What it has stays with its old group: what it asks for from now on is too much.
            (group / "memory.limit_in_bytes").write_text(str(4 << 20))
            with contextlib.suppress(AssertionError):
                await until(lambda: not process.running, 5, "the kernel kills it")
        finally:
            process.kill()
            with contextlib.suppress(OSError):
                # Its last page may not be given back yet.
                group.rmdir()


class NoDescriptors(OnOne):
    """No file descriptor is left, and idle connections take what there were."""

    number, name, of, seconds = 25, "no file descriptors", INGESTS, (3, 6)

    async def inject(self, stage: Stage) -> None:
        pid = self._pid = stage.processes[self.target].pid
        self._before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # A few more than it has open, so that the first idle ones are let in.
        taken = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (taken + 4, self._before[1]))
        port = int(stage.processes[self.target].url.rsplit(":", 1)[1])
        self._idle: list[asyncio.StreamWriter] = []
        for _ in range(IDLE_SOCKETS):
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 1)
            except (OSError, TimeoutError):
                break
            self._idle.append(writer)

    async def heal(self, stage: Stage) -> None:
        with contextlib.suppress(ProcessLookupError):
            # It may have ended for want of descriptors; a new one has its own limit.
            resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._before)
        for writer in self._idle:
            writer.transport.abort()
        await super().heal(stage)


class Poison(Fault):
    """Records in topic beacons that no version of ingest wrote."""

    number, name, seconds = 27, "poison records", (0.1, 1)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        # Somebody has to take them.
        self.hurts = frozenset({"broker"})

    async def inject(self, stage: Stage) -> None:
        producer = Producer({"bootstrap.servers": f"127.0.0.1:{PLAIN}", "message.timeout.ms": 60000})
        values = [
            self.draw.randbytes(self.draw.randrange(1, 5000)),
            b"",
            b"[" * 100_000,
            b'{"v":2,"id":"x-1","time":1}',
            b'{"v":1}',
            json.dumps({"v": 1, "id": 7, "time": "now", "query": []}).encode(),
            b"\n" * 70_000,
        ]
        for value in values:
            producer.produce(f"{stage.line.prefix}beacons", value, partition=self.draw.randrange(8))
        producer.produce(f"{stage.line.prefix}beacons", b"x", key=b"k" * 900_000, partition=self.draw.randrange(8))
        left = await asyncio.to_thread(producer.flush, 60)
        assert not left, "the broker takes no poison"

    async def heal(self, stage: Stage) -> None:
        """Nothing to undo."""


class BrokenKeys(Fault):
    """The report's key file is blank, then rubbish, then gone, while it is asked: the last good keys stay."""

    number, name, seconds = 28, "key file broken", (5, 8)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.hurts = frozenset({"report"})
        self.broken = draw.choice(("", "{", '{"version":1,"keys":[{"id":"x"}]}', None))

    async def inject(self, stage: Stage) -> None:
        if self.broken is None:
            stage.keys.unlink()
        else:
            stage.keys.write_text(self.broken)

    async def heal(self, stage: Stage) -> None:
        fresh = stage.keys.with_suffix(".new")
        fresh.write_text(key_file(OPERATOR, f"rotated-{self.draw.randrange(1000)}.secret"))
        fresh.rename(stage.keys)
