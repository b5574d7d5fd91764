"""The life of a partition that another worker keeps a copy of, and takes over from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.owned import Place
from pipeline.standby import Copy
from tests.pipeline.life import TOPIC_ID, Life, Sent, living
from tests.pipeline.state_topics import TOPICS, MemoryReader


class Follower:
    """Keeps a copy of a life's partition.

    Attributes:
        reader: of the state topics; a test may have it fail, or let something happen meanwhile.
    """

    def __init__(self, life: Life) -> None:
        self.life = life
        self.reader = MemoryReader({0: life.kafka})
        self.copy = Copy(0)
        self._place = Place({}, TOPICS, "g", life.path / "copy", lambda topic: TOPIC_ID, 1.0, 1)

    def follow(self, meanwhile: Callable[[], object] | None = None) -> bool:
        """Bring the copy up once; tell whether it is whole."""
        self.reader.meanwhile = meanwhile
        return self.copy.bring_up(self.reader, self._place, self.life.rules.dedupe_horizon_s)  # type: ignore[arg-type]

    def take_over(self) -> None:
        """Let the owner die and the copy be opened in its place; another copy begins."""
        self.life.crash(wiped=True)
        self.copy.close()
        # The owner opens its own folder: this is now it.
        shutil.rmtree(self.life._folder, ignore_errors=True)
        if (copied := self._place.store_path(0)).exists():
            shutil.move(copied, self.life._folder)
        self.copy = Copy(0)
        self.life.open()


@contextmanager
def followed(log: Sequence[Sequence[Sent]] = ()) -> Iterator[tuple[Life, Follower]]:
    """Give the life of a partition and the follower of it."""
    with living(log) as life:
        follower = Follower(life)
        try:
            yield life, follower
        finally:
            follower.copy.close()
