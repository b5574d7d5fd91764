"""What a rebuild carries over from before everything holds, whoever opens the partition and when."""

from __future__ import annotations

from pipeline.batch import pack_marks
from tests.pipeline.life import Sent, living
from tests.pipeline.state_topics import TOPICS

# Twelve beacons, then all of them once more.
LOG = [[Sent(index=number % 12)] for number in range(24)]


def test_marks_that_a_rebuild_carried_over_hold_at_the_first_opening_and_at_every_later_one() -> None:
    # Kafka has lost the first twelve beacons; the twelve that follow are their repeats.
    with living(LOG) as before:
        before.take(12)
        batch = before.checkpoint()
    assert batch is not None
    with living(LOG) as life:
        life.first = 12
        for marks in (batch.marks[:3], batch.marks[3:]):
            life.kafka.append([(TOPICS.seen, b"carried", pack_marks(marks))])
        for end in (14, 18, 24):
            life.take(end - max(0, life.partition.position + 1))
            life.checkpoint()
            assert life.partition.committed.ledger["duplicates"] == end - 12
            life.crash(wiped=True)
        assert life.finish() == {}
