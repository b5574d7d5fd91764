"""A drain that is cut short goes on where it was: a slow Kafka must not get a file from its beginning for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.drain import Drain
from ingest.metrics import Ledger
from ingest.segments import Segment, Segments

RECORDS = 12


class Faltering:
    """A Kafka that takes a few records, gives the rest of that attempt up, and so on."""

    topics_doubtful = False

    def __init__(self, takes: int) -> None:
        self.taken: list[bytes] = []
        self.given_up = 0
        self._takes = takes
        self._left = takes

    def send(self, partition: int, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        if self._left:
            self._left -= 1
            self.taken.append(value)
            delivered(None)
            return True
        self.given_up += 1
        self._left = self._takes if self.given_up % 3 == 0 else 0
        delivered("_MSG_TIMED_OUT")
        return True

    def poll(self) -> None:
        """Nothing is ever late here."""


@pytest.mark.parametrize("takes", [1, 5, RECORDS])
async def test_each_record_of_a_file_is_given_to_kafka_once(tmp_path: Path, takes: int) -> None:
    segments = Segments(tmp_path, 1 << 24)
    # Each fills a record of its own.
    values = [b"%02d" % number + b"x" * 65536 for number in range(RECORDS)]
    segments.append([(0, 0, 1, value) for value in values])

    async def seal(segment: Segment) -> None:
        segments.seal(segment)

    kafka = Faltering(takes)
    await Drain(kafka, lambda: True, Ledger(), 1, 1 << 30).empty(segments, seal)

    assert sorted(kafka.taken) == values
    assert segments.oldest() is None
