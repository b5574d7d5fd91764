"""Writes a line's state into its topics as workers would have: so many rows and marks, in checkpoints of one a second.

The beacons that it came from are not needed again: each partition of `beacons` holds LEAD empty records, and the last
position is the last of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Producer

from pipeline.batch import Batch, Position
from pipeline.catalog import SETS, WINDOWS
from pipeline.changelog import Changelog, Topics
from pipeline.topics import topic_id_of
from pipeline.windows import RowId, Shape, checksum_of, row_key
from tests.load import ours
from tests.load.session import PARTITIONS, ROOT, Session

LEAD = 100
_SHAPE = Shape.of(WINDOWS, SETS[:2])
# A row of a partition: window index, start, partner, entry ("" for the partner's own), counts as JSON without braces.
RowText = tuple[int, int, str, str, str]
Rows = Callable[[int, int], Iterator[RowText]]


def make_topics(session: Session, prefix: str) -> None:
    """Create the topics of a line as the line itself does."""
    env = ours.environment(session, prefix)
    subprocess.run([sys.executable, "-m", "pipeline", "topics"], cwd=ROOT, env=env, check=True, capture_output=True)


def write(session: Session, prefix: str, rows: Rows, marks: int, time_ms: int) -> None:
    """Make the line's topics and fill them.

    Args:
        session: of the bench.
        prefix: of the line.
        rows: (partition, batch of LEAD) to the rows of that checkpoint.
        marks: in all.
        time_ms: receive time of everything.
    """
    make_topics(session, prefix)
    producer = Producer({"bootstrap.servers": session.broker.bootstrap, "log_level": 0})
    for number in range(LEAD * PARTITIONS):
        producer.produce(prefix + "beacons", b"", partition=number % PARTITIONS)
    producer.flush()
    topic_id = topic_id_of(ours.kafka_settings(session), prefix + "beacons")
    each = marks // PARTITIONS // LEAD
    with ThreadPoolExecutor(PARTITIONS) as pool:
        written = [
            pool.submit(_partition, session, prefix, number, rows, each, time_ms, topic_id)
            for number in range(PARTITIONS)
        ]
        for future in written:
            future.result()


def _id(window: int, start: int, partner: str, entry: str) -> RowId:
    values = (f'"{partner}"', entry) if entry else (f'"{partner}"',)
    return window, len(values) - 1, start, values


def _partition(session: Session, prefix: str, number: int, rows: Rows, marks: int, time_ms: int, topic_id: str) -> None:
    kafka = {"bootstrap.servers": session.broker.bootstrap}
    changelog = Changelog(kafka, Topics.of(prefix), f"{prefix}bench-{number}", number)
    changelog.fence()
    for batch in range(LEAD):
        texts = [
            (row_key(_id(*row[:4]), _SHAPE, number), f'{{{row[4]},"offset":{batch}}}'.encode())
            for row in rows(number, batch)
        ]
        digests = os.urandom(16 * marks)
        seen = [(digests[16 * at : 16 * at + 16], batch << 16, time_ms // 1000) for at in range(marks)]
        position = Position(
            previous=batch - 1,
            offset=batch,
            time=time_ms,
            rows=len(texts),
            checksum=checksum_of(texts),
            marks=marks,
            ledger={"beacons": batch + 1, "unique": batch + 1},
            added={"beacons": 1, "unique": 1},
            topic=topic_id,
        )
        changelog.commit(Batch(texts, [], seen, [], [], position))
    changelog.close()


def no_rows(partition: int, batch: int) -> Iterator[RowText]:
    return iter(())
