"""Processes that end, freeze, come and go."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from tests.chaos.faults.fault import INGESTS, WORKERS, Fault, OnOne
from tests.chaos.stage import PORTS, Stage

STOP_SECONDS = 25
GUEST_SECONDS = 5
# For what came while it was frozen.
CATCH_UP_SECONDS = 1


class IngestKilled(OnOne):
    """Kill -9; a supervisor brings it back."""

    number, name, of, seconds = 1, "ingest killed", INGESTS, (1, 3)

    async def inject(self, stage: Stage) -> None:
        stage.processes[self.target].kill()


class IngestStopped(OnOne):
    """SIGTERM under load: it ends by itself, in time and with exit code 0."""

    number, name, of, seconds = 2, "ingest told to stop", INGESTS, (1, 2)

    async def inject(self, stage: Stage) -> None:
        await stage.processes[self.target].stop(STOP_SECONDS)


class IngestFrozen(OnOne):
    """SIGSTOP: it answers late and loses none."""

    number, name, of, seconds = 3, "ingest frozen", INGESTS, (4, 9)

    async def inject(self, stage: Stage) -> None:
        stage.processes[self.target].freeze()
        self._began = time.monotonic()

    async def heal(self, stage: Stage) -> None:
        stage.processes[self.target].thaw()
        stage.freezes.append((PORTS[self.target], self._began, time.monotonic() + CATCH_UP_SECONDS))
        await super().heal(stage)


class WorkerKilled(OnOne):
    """Kill -9, the state on disk kept, gone, or gone in parts."""

    number, name, of, seconds = 12, "worker killed", WORKERS, (1, 8)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.state = draw.choice(("kept", "wiped", "half"))
        self.name = f"worker killed, state {self.state}"  # type: ignore[misc]

    async def inject(self, stage: Stage) -> None:
        stage.processes[self.target].kill()
        folder = stage.line.state_folder(self.target)
        if self.state == "wiped":
            stage.line.wipe_state(self.target)
        elif self.state == "half":
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            for path in self.draw.sample(files, len(files) // 2):
                _halve(path, self.draw)


class WorkerFrozen(OnOne):
    """Frozen until the others have taken its partitions: when it goes on, it is an owner no more."""

    number, name, of, seconds = 13, "worker frozen", WORKERS, (8, 11)

    async def inject(self, stage: Stage) -> None:
        stage.processes[self.target].freeze()

    async def heal(self, stage: Stage) -> None:
        stage.processes[self.target].thaw()
        await super().heal(stage)


class RebalanceStorm(Fault):
    """A third worker joins and leaves, again and again."""

    number, name, seconds = 26, "rebalance storm", (15, 25)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.hurts = frozenset({"guest"})

    async def inject(self, stage: Stage) -> None:
        guest = stage.guest("guest")
        self._guest = guest
        self._task = asyncio.create_task(self._come_and_go(stage))

    async def _come_and_go(self, stage: Stage) -> None:
        while True:
            self._guest.start_only()
            await asyncio.sleep(GUEST_SECONDS)
            if self.draw.random() < 0.5:
                self._guest.kill()
            else:
                await self._guest.stop(STOP_SECONDS, as_it_starts=True)

    async def heal(self, stage: Stage) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._guest.kill()


class ReportKilled(OnOne):
    """Kill -9 of the report: it goes on where it was."""

    number, name, of, seconds = 1, "report killed", ("report",), (1, 3)

    async def inject(self, stage: Stage) -> None:
        stage.processes[self.target].kill()


def _halve(path: Path, draw: random.Random) -> None:
    if draw.random() < 0.5:
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
