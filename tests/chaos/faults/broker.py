"""Kafka that dies, freezes, restarts."""

from __future__ import annotations

import asyncio
import random

from tests.chaos.faults.fault import Fault
from tests.chaos.stage import Stage


class _OfBroker(Fault):
    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.hurts = frozenset({"broker"})


class BrokerKilled(_OfBroker):
    """Kill -9, back with its data."""

    number, name, seconds = 4, "broker killed", (1, 10)

    async def inject(self, stage: Stage) -> None:
        stage.broker.kill()

    async def heal(self, stage: Stage) -> None:
        await stage.broker.start()


class BrokerFrozen(_OfBroker):
    """Frozen: connections stay and nothing answers."""

    number, name, seconds = 5, "broker frozen", (5, 15)

    async def inject(self, stage: Stage) -> None:
        stage.broker.freeze()

    async def heal(self, stage: Stage) -> None:
        stage.broker.thaw()


class BrokerRestarted(_OfBroker):
    """A clean restart."""

    number, name, seconds = 6, "broker restarted", (0.1, 1)

    async def inject(self, stage: Stage) -> None:
        await asyncio.to_thread(stage.broker.stop)

    async def heal(self, stage: Stage) -> None:
        await stage.broker.start()
