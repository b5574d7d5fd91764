"""The changelog of one partition: one transaction writes a checkpoint, a replay reads it back.

Blocking calls of librdkafka: run them in an executor thread. After any error the object is thrown away, never
used again: no client library here speaks KIP-890, so a producer with an unknown result may not begin another
transaction (reliability.md 1.1, guard 1); a new one's init_transactions fences whatever is still under way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from pipeline.batch import (
    MARKS_PER_RECORD,
    Batch,
    pack_marks,
    position_key,
    session_records,
)
from pipeline.deadletter import MAX_LETTER_BYTES
from pipeline.replay import OnOutside, Replayed, places_to_read

# consume() waits for all it was asked for or this long, even when the end has come.
POLL_S = 0.05
SILENT_S = 30

log = logging.getLogger(__name__)


class Lost(Exception):
    """This partition's state can no longer be written from here: forget it, open it again if it is still ours.

    Attributes:
        fenced: another owner has taken the partition.
    """

    def __init__(self, why: str, fenced: bool = False) -> None:
        super().__init__(why)
        self.fenced = fenced


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the topics of this line, prefix included."""

    beacons: str
    windows: str
    seen: str
    rejected: str
    ingests: str

    @classmethod
    def of(cls, prefix: str, state: str | None = None) -> Topics:
        """Return the names behind a prefix, and behind another one what is made of the beacons."""
        state = prefix if state is None else state
        return cls(f"{prefix}beacons", f"{state}windows", f"{state}seen", f"{state}rejected", f"{prefix}ingests")


class Changelog:
    """Writes checkpoints of one partition, fencing every earlier owner."""

    def __init__(self, kafka: dict[str, Any], topics: Topics, transactional_id: str, partition: int) -> None:
        """Prepare; `kafka` is the connection part of a librdkafka configuration."""
        self._topics = topics
        self._partition = partition
        self._kafka = kafka
        self._next: dict[str, int] = {}
        self._failed: KafkaError | None = None
        self._producer = Producer(
            kafka
            | {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": 30_000,
                "linger.ms": 5,
                "batch.num.messages": 100_000,
                "batch.size": 1_000_000,
                "message.max.bytes": MAX_LETTER_BYTES,
                "queue.buffering.max.messages": 2_000_000,
                "compression.type": "lz4",
                "sticky.partitioning.linger.ms": 0,
                "log.connection.close": False,
            }
        )

    def fence(self, timeout_s: float = 30.0) -> None:
        """End what earlier owners of the partition left open, and keep them from writing again.

        Raises:
            Lost: the broker did not answer in time, or refused.
        """
        try:
            self._producer.init_transactions(timeout_s)
        except KafkaException as error:
            raise _lost("init_transactions", error) from error

    def go_on_from(self, offsets: dict[str, int]) -> None:
        """Take the next changelog offsets that a replay came to."""
        self._next = dict(offsets)

    def commit(self, batch: Batch, timeout_s: float = 20.0) -> dict[str, int]:
        """Write a checkpoint in one transaction; return the next changelog offset by state topic.

        Raises:
            Lost: it is unknown, or known not to be, committed. Nothing more can be written here.
        """
        producer, topics = self._producer, self._topics
        self._failed = None
        try:
            producer.begin_transaction()
            self._produce(topics.windows, [{"key": key, "value": value} for key, value in batch.rows])
            self._produce(topics.windows, [{"key": key, "value": None} for key in batch.expired])
            self._produce(topics.rejected, [{"key": key, "value": value} for key, value in batch.dead])
            position = batch.position
            key = b"%d-%d" % (position.previous, position.offset)
            for value in _seen_records(batch):
                producer.produce(topics.seen, value, key, self._partition, on_delivery=self._delivered)
            producer.produce(
                topics.windows,
                position.value(),
                position_key(self._partition),
                self._partition,
                on_delivery=self._delivered,
            )
            if producer.flush(timeout_s):
                raise Lost("checkpoint not delivered in time")
            if self._failed is not None:
                raise Lost(f"checkpoint not delivered: {self._failed.str()}")
            producer.commit_transaction(timeout_s)
        except KafkaException as error:
            raise _lost("commit", error) from error
        except BufferError as error:
            raise Lost("producer queue full") from error
        except SystemError as error:
            # A fatal error is raised while deliveries are still told: what flush raises is Python's complaint of that.
            if isinstance(error.__cause__, KafkaException):
                raise _lost("commit", error.__cause__) from error
            raise
        return dict(self._next)

    def _produce(self, topic: str, messages: list[dict[str, bytes | None]]) -> None:
        if not messages:
            return
        queued = self._producer.produce_batch(topic, messages, partition=self._partition)
        if queued != len(messages):
            raise Lost(f"only {queued} of {len(messages)} records queued")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = error
            return
        self._next[message.topic()] = message.offset() + 1

    def replay(self, offsets: dict[str, int], on_outside: OnOutside) -> Iterator[Replayed]:
        """Yield what the state topics hold for this partition from these offsets to their end.

        Only committed records. `on_outside(topic, wanted, low, high)` hears of an offset outside of the log.

        Raises:
            Lost: Kafka did not answer.
        """
        consumer = state_consumer(self._kafka)
        try:
            places = places_in(consumer, self._topics, self._partition, offsets, on_outside)
            yield from read_to_end(consumer, self._partition, places)
        finally:
            consumer.close()

    def close(self) -> None:
        """Let the producer go; what it has not committed is aborted by the next owner."""
        self._producer.purge()
        try:
            self._producer.close()
        except KafkaException as error:
            # A fenced producer says it once more while it ends. Raised, it would keep the partition closed for good.
            log.info("partition %d: its producer ended with: %s", self._partition, error.args[0].str())


def state_consumer(kafka: dict[str, Any]) -> Consumer:
    """Return a reader of state topics that belongs to no group and sees only what is committed."""
    return Consumer(
        kafka
        | {
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "auto.offset.reset": "earliest",
            "log.connection.close": False,
        }
    )


def places_in(
    consumer: Consumer,
    topics: Topics,
    partition: int,
    offsets: dict[str, int],
    on_outside: OnOutside,
    silent_s: float = SILENT_S,
) -> dict[str, int]:
    """Return from where to read the state topics of a partition, as far as their logs have these offsets.

    Raises:
        Lost: Kafka did not answer.
    """
    try:
        bounds: dict[str, tuple[int, int]] = {
            topic: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=silent_s)
            for topic in (topics.seen, topics.windows)
        }
    except KafkaException as error:
        raise _lost("replay", error) from error
    return places_to_read(offsets, bounds, on_outside)


def read_to_end(
    consumer: Consumer, partition: int, places: dict[str, int], poll_s: float = POLL_S, silent_s: float = SILENT_S
) -> Iterator[Replayed]:
    """Yield what these topics hold of a partition, from these offsets to their end.

    Raises:
        Lost: Kafka did not answer.
    """
    try:
        consumer.assign([TopicPartition(topic, partition, place) for topic, place in places.items()])
        unfinished = set(places)
        waited_s = 0.0
        while unfinished:
            messages = consumer.consume(10_000, poll_s)
            waited_s = 0.0 if messages else waited_s + poll_s
            if waited_s > silent_s:
                raise Lost("replay: Kafka is silent")
            for message in messages:
                error = message.error()
                if error is None:
                    yield Replayed(message.topic(), message.offset(), message.key(), message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.topic())
                elif not error.retriable() and error.code() != KafkaError._TRANSPORT:
                    raise KafkaException(error)
    except KafkaException as error:
        raise _lost("replay", error) from error


def _seen_records(batch: Batch) -> Iterator[bytes]:
    for start in range(0, len(batch.marks), MARKS_PER_RECORD):
        yield pack_marks(batch.marks[start : start + MARKS_PER_RECORD])
    yield from session_records(batch.sessions)


def _lost(doing: str, error: KafkaException) -> Lost:
    kafka_error = error.args[0]
    fenced = kafka_error.code() in (
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    )
    return Lost(f"{doing}: {kafka_error.str()}", fenced)
