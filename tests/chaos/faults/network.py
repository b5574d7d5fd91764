"""The network between Kafka and one kind of its clients."""

from __future__ import annotations

import random
from typing import ClassVar

from tests.chaos.faults.fault import Fault
from tests.chaos.proxy import Api, Hold
from tests.chaos.stage import ADVERTISED, Stage


class _OfNetwork(Fault):
    kinds: ClassVar[tuple[str, ...]] = ("ingest", "ingest", "worker", "report")

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.kind = draw.choice(self.kinds)
        self.port = ADVERTISED[self.kind]
        self.hurts = frozenset({f"{self.kind} to broker"})

    async def heal(self, stage: Stage) -> None:
        stage.packets.heal(self.port)


class CutOff(_OfNetwork):
    """Nothing goes through."""

    number, name, seconds = 7, "cut off from the broker", (3, 12)

    async def inject(self, stage: Stage) -> None:
        stage.packets.drop(self.port)


class AnswersDropped(_OfNetwork):
    """Requests arrive and answers do not: what was written is written again elsewhere."""

    number, name, seconds = 8, "the broker's answers dropped", (3, 9)

    async def inject(self, stage: Stage) -> None:
        stage.packets.drop_answers(self.port)


class Resets(_OfNetwork):
    """Every packet is answered by a reset."""

    number, name, seconds = 9, "connections reset", (2, 6)

    async def inject(self, stage: Stage) -> None:
        stage.packets.reset(self.port)


class Loss(_OfNetwork):
    """Three of ten packets are lost."""

    number, name, seconds = 10, "30 % of packets lost", (5, 10)

    async def inject(self, stage: Stage) -> None:
        stage.packets.lose(self.port, 30)


class LateTransaction(_OfNetwork):
    """A part of a transaction is late while its sender connects anew and goes on."""

    number, name, seconds = 11, "late part of a transaction", (5, 12)
    kinds = ("worker",)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.api = draw.choice((Api.END_TXN, Api.PRODUCE, Api.ADD_PARTITIONS))
        self.late = draw.uniform(1, 12)
        self.cut = draw.random() < 0.7
        self.name = f"late {self.api.name}"  # type: ignore[misc]

    async def inject(self, stage: Stage) -> None:
        past = (Api.PRODUCE, 2) if self.draw.random() < 0.5 else None
        self._hold = stage.proxies["worker"].hold(Hold(self.api, self.late, self.cut, past))

    async def heal(self, stage: Stage) -> None:
        stage.proxies["worker"].holds.remove(self._hold)
