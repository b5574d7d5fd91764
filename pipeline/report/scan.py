"""A stretch of topic `beacons` read by time, for one question: bounded, in a thread, and out of everybody's way."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.report.kafka_source import AWAY, offsets
from pipeline.report.problem import Problem, Refused

log = logging.getLogger(__name__)

ASK_SECONDS = 5.0
POLL_SECONDS = 0.2
MOST_RECORDS = 200
# Work and rest of a scan, in turns: the event loop and the readers need the interpreter too.
TURN_SECONDS = 0.004

# Partition, offset, Kafka's time of the record in ms, value; returns how many beacons it holds.
Take = Callable[[int, int, int, bytes], int]

KAFKA_AWAY = Problem(
    503,
    "kafka-away",
    "Kafka does not answer.",
    "The beacons behind a number lie in Kafka, which cannot be asked now; the log says why. Counts go on being shown.",
    headers={"Retry-After": "5"},
)
KAFKA_SLOW = Problem(
    504,
    "kafka-slow",
    "Kafka did not answer in time.",
    "The beacons behind a number lie in Kafka, which gave none before the deadline: try again later.",
    headers={"Retry-After": "5"},
)
ONE_AT_A_TIME = Problem(
    429,
    "busy",
    "Too many questions at a time.",
    "One number is explained at a time for each key: wait for the answer under way.",
    headers={"Retry-After": "1"},
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is looked at.

    Attributes:
        since_ms, until_ms: records that Kafka took in at such a time, Unix ms.
        counted: per partition the last offset that the rows include; what lies behind is not looked at.
        most: beacons read, shared evenly by the partitions.
        newest: per partition the time of its newest beacon; one that lies before the stretch has lost nothing of it.
    """

    since_ms: int
    until_ms: int
    counted: Mapping[int, int]
    most: int
    newest: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Looked:
    """What was looked at.

    Attributes:
        records: how many were read.
        cut: why something of the stretch is missing: "retention", "beacons", "deadline"; empty: nothing is.
        from_ms: everything that is still there from here on was read, ...
        through_ms: ... up to here.
    """

    from_ms: int
    through_ms: int
    records: int = 0
    cut: list[str] = field(default_factory=list)


class Beacons(Protocol):
    """Where a stretch of topic `beacons` is read."""

    def look(self, stretch: Stretch, take: Take, stop: threading.Event) -> Looked:
        """Give every record of a stretch to `take`, each partition's in order; blocks.

        Raises:
            Refused: there is no answer to be had now.
        """


class KafkaBeacons:
    """Topic `beacons` in Kafka; each scan has a consumer of its own, in no group."""

    def __init__(self, options: dict[str, Any], topic: str, deadline_seconds: float) -> None:
        self._topic = topic
        self._deadline = deadline_seconds
        self._options = options | {
            "group.id": "report",  # the library wants one; it is never joined and nothing is committed to it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 8192,
            "log_level": 0,
        }

    def look(self, stretch: Stretch, take: Take, stop: threading.Event) -> Looked:
        """Read a stretch; see Beacons."""
        end = time.monotonic() + self._deadline
        consumer = Consumer(self._options)
        try:
            ranges, looked = self._ranges(consumer, stretch)
            if ranges:
                _Scan(consumer, self._topic, ranges, stretch, looked, take, stop).run(end)
            return looked
        except KafkaException as error:
            log.warning("topic %s cannot be looked at: %s", self._topic, error)
            raise Refused(KAFKA_AWAY) from error
        finally:
            consumer.close()

    def _ranges(self, consumer: Consumer, stretch: Stretch) -> tuple[dict[int, tuple[int, int]], Looked]:
        """Return per partition the offsets of the stretch, [begin, end), and the stretch as far as it is there."""
        topic = consumer.list_topics(self._topic, timeout=min(ASK_SECONDS, self._deadline)).topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        parts = len(topic.partitions)
        first, last = (offsets(consumer, self._topic, parts, which) for which in (OFFSET_BEGINNING, OFFSET_END))
        begin, end = (self._at(consumer, parts, ms, last) for ms in (stretch.since_ms, stretch.until_ms))
        ranges = {}
        looked = Looked(stretch.since_ms, stretch.until_ms)
        for part in range(parts):
            stop_at = min(end[part], stretch.counted.get(part, -1) + 1)
            if begin[part] < stop_at:
                ranges[part] = (begin[part], stop_at)
            if 0 < first[part] == begin[part] and stretch.newest.get(part, stretch.since_ms) >= stretch.since_ms:
                # What lay before is gone from Kafka. From where on it is there, the first record read will tell.
                looked.cut = ["retention"]
                looked.from_ms = looked.from_ms if part in ranges else stretch.until_ms
        return ranges, looked

    def _at(self, consumer: Consumer, parts: int, ms: int, last: Mapping[int, int]) -> dict[int, int]:
        """Return per partition the first offset that Kafka took in at this instant or later."""
        asked = [TopicPartition(self._topic, part, max(0, ms)) for part in range(parts)]
        found = {}
        for one in consumer.offsets_for_times(asked, timeout=min(ASK_SECONDS, self._deadline)):
            if one.error is not None:
                raise KafkaException(one.error)
            found[one.partition] = one.offset if one.offset >= 0 else last[one.partition]
        return found


class _Scan:
    """One reading of some ranges of offsets."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        ranges: dict[int, tuple[int, int]],
        stretch: Stretch,
        looked: Looked,
        take: Take,
        stop: threading.Event,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._left = ranges
        self._share = max(1, stretch.most // len(ranges))
        self._lines = dict.fromkeys(ranges, 0)
        self._reached = dict.fromkeys(ranges, stretch.since_ms)
        self._looked = looked
        self._take = take
        self._stop = stop
        self._worked = time.thread_time()

    def run(self, end: float) -> None:
        """Read until all is read, a bound is reached, or nobody waits any more."""
        self._consumer.assign([TopicPartition(self._topic, part, begin) for part, (begin, _) in self._left.items()])
        while self._left and not self._stop.is_set():
            for message in self._consumer.consume(MOST_RECORDS, POLL_SECONDS):
                if time.monotonic() > end:
                    break
                self._message(message)
                self._rest()
            if time.monotonic() > end:
                self._cut("deadline", self._left)
                break
        if self._left and not self._looked.records and not self._stop.is_set():
            raise Refused(KAFKA_SLOW)

    def _message(self, message: Message) -> None:
        part, error = message.partition(), message.error()
        if part not in self._left:
            return
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._done(part)
            elif not error.retriable() and error.code() not in AWAY:
                raise KafkaException(error)
            return
        begin, end = self._left[part]
        offset, (_, stored) = message.offset(), message.timestamp()
        if offset >= end:
            self._done(part)
            return
        if offset == begin and "retention" in self._looked.cut:
            self._looked.from_ms = max(self._looked.from_ms, stored)
        self._looked.records += 1
        self._lines[part] += self._take(part, offset, stored, message.value() or b"")
        self._reached[part] = stored
        if offset == end - 1:
            self._done(part)
        elif self._lines[part] >= self._share:
            self._cut("beacons", [part])
            self._done(part)

    def _done(self, part: int) -> None:
        del self._left[part]
        self._consumer.incremental_unassign([TopicPartition(self._topic, part)])

    def _cut(self, why: str, parts: Any) -> None:
        if why not in self._looked.cut:
            self._looked.cut.append(why)
        self._looked.through_ms = min((self._looked.through_ms, *(self._reached[part] for part in parts)))

    def _rest(self) -> None:
        # By this thread's own time: on a busy machine it would rest after every record else.
        if time.thread_time() - self._worked > TURN_SECONDS:
            self._stop.wait(TURN_SECONDS)
            self._worked = time.thread_time()


class Scans:
    """Some threads for scans; of each key one scan at a time."""

    def __init__(self, beacons: Beacons, at_a_time: int) -> None:
        self._beacons = beacons
        self._pool = ThreadPoolExecutor(at_a_time, thread_name_prefix="report-scan")
        self._under_way: dict[str, threading.Event] = {}

    async def look(self, key: str, stretch: Stretch, take: Take) -> Looked:
        """Return what was looked at; whoever leaves ends the scan.

        Raises:
            Refused: this key has a scan under way, or Kafka does not answer.
        """
        if key in self._under_way:
            raise Refused(ONE_AT_A_TIME)
        loop = asyncio.get_running_loop()
        stop = self._under_way[key] = threading.Event()
        running = self._pool.submit(self._beacons.look, stretch, take, stop)

        def over(_: Future[Looked]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._under_way.pop, key, None)

        running.add_done_callback(over)
        try:
            return await asyncio.wrap_future(running)
        finally:
            stop.set()

    def close(self) -> None:
        """End the scans under way; not waiting for a Kafka that does not answer, as nothing is lost by leaving."""
        for stop in self._under_way.values():
            stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
