"""What a fault is: something that is done to the stage and, later, undone."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.chaos.stage import Stage


class Fault(ABC):
    """One fault of the matrix.

    Attributes:
        number: in the matrix of faults (README.md). name: in a few words.
        seconds: how long it lasts, at least and at most.
        hurts: what no other fault may have in hand meanwhile.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    seconds: ClassVar[tuple[float, float]] = (2, 5)

    def __init__(self, draw: random.Random) -> None:
        """Choose what it hurts, from the seed alone."""
        self.hurts: frozenset[str] = frozenset()
        self.draw = draw

    @abstractmethod
    async def inject(self, stage: Stage) -> None:
        """Bring it about."""

    @abstractmethod
    async def heal(self, stage: Stage) -> None:
        """Undo it, and see that the line stands as before."""

    def __str__(self) -> str:
        return f"F{self.number} {self.name} ({', '.join(sorted(self.hurts))})"


class OnOne(Fault):
    """A fault of one process."""

    of: ClassVar[tuple[str, ...]]

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.target = draw.choice(self.of)
        self.hurts = frozenset({self.target})

    async def heal(self, stage: Stage) -> None:
        await stage.back(self.target)


INGESTS = ("ingest-1", "ingest-2")
WORKERS = ("worker-1", "worker-2")
