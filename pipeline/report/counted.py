"""countedThrough: the instant before which every beacon answered 200 is in the rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.report.record import Position

# An hour of questions without an answer; past it every second one is forgotten, never the newest.
MOST_QUESTIONS = 3600


@dataclass(frozen=True, slots=True)
class Question:
    """Asked of Kafka once a second: are the beacons that are there now in the rows?

    Attributes:
        asked_at: taken before the offsets were asked for, Unix ms.
        wanted: per partition that holds beacons, the last offset that must be counted.
        held: per ingest, the instant before which its 200s are in Kafka, read before the offsets were.
        topic: id of topic `beacons`.
    """

    asked_at: int
    wanted: dict[int, int]
    held: dict[str, int]
    topic: str

    def through(self) -> int:
        """Return what is promised once every wanted offset is counted."""
        return min((self.asked_at, *self.held.values()))

    def holding(self) -> str | None:
        """Return the ingest that holds the promise back by more than 5 s, if one does."""
        last = min(self.held, key=self.held.__getitem__, default=None)
        return last if last is not None and self.held[last] < self.asked_at - 5000 else None

    def satisfied(self, positions: Mapping[int, Position]) -> bool:
        """Tell whether these positions have reached every wanted offset of the same topic."""
        return all(
            (found := positions.get(part)) is not None and found.offset >= offset and found.topic in ("", self.topic)
            for part, offset in self.wanted.items()
        )

    def lags(self, positions: Mapping[int, Position]) -> dict[int, int]:
        """Return how many beacon records of each partition are not counted yet."""
        return {
            part: max(0, offset - (found.offset if (found := positions.get(part)) else -1))
            for part, offset in self.wanted.items()
        }

    def behind(self, positions: Mapping[int, Position]) -> int:
        """Return how many beacon records are not counted yet."""
        return sum(self.lags(positions).values())


def question(
    asked_at: int, first: Mapping[int, int], end: Mapping[int, int], held: Mapping[str, int], topic: str
) -> Question:
    """Return the question for these log starts and ends; an empty partition wants nothing."""
    wanted = {part: offset - 1 for part, offset in end.items() if offset > first.get(part, 0)}
    return Question(asked_at, wanted, dict(held), topic)


def promise(value: bytes) -> int | None:
    """Return the instant that an ingest's record stands for; None: it cannot be read."""
    try:
        said: Any = orjson.loads(value)
        pending = said["pendingSince"]
        return int(said["time"] if pending is None else pending)
    except (ValueError, KeyError, TypeError):
        return None


class Counted:
    """Remembers the open questions and the best answer."""

    def __init__(self) -> None:
        self.through: int | None = None
        self.newest: Question | None = None
        self._open: deque[Question] = deque()

    def ask(self, asked: Question) -> None:
        """Add a question."""
        self.newest = asked
        self._open.append(asked)
        if len(self._open) > MOST_QUESTIONS:
            self._open = deque([*list(self._open)[:-1:2], asked])

    def forget(self) -> None:
        """Take back what was promised: the rows that it spoke of are being read anew."""
        self.through = None

    def answer(self, positions: Mapping[int, Position]) -> int | None:
        """Take the newest question that these positions answer, and return countedThrough."""
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index].satisfied(positions):
                self.through = self._open[index].through()
                for _ in range(index + 1):
                    self._open.popleft()
                break
        return self.through
