"""Topic `windows` read from Kafka: committed records only, from given offsets, without a group."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from pipeline.report.feed import StartAgain
from pipeline.report.readmodel import Identity
from pipeline.report.record import Record

ASK_SECONDS = 10.0
CHECK_TOPIC_EVERY_SECONDS = 15.0
MOST_RECORDS = 20_000


def topic_id(options: dict[str, Any], topic: str) -> tuple[str, int]:
    """Return the topic's id and its number of partitions.

    A client of its own each time: one whose broker has died meanwhile waits for it instead of asking another.
    It is held until it has answered: a client that nobody holds is destroyed, and its question with it.
    """
    admin = AdminClient(options)
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=ASK_SECONDS)[topic].result()
    finally:
        # Where it fails, the library leaves the exception in a cycle, and with it this frame: the client's threads and
        # connections would stay until the cycle is found.
        del admin
    return str(described.topic_id), len(described.partitions)


def offsets(consumer: Consumer, topic: str, partitions: int, which: int) -> dict[int, int]:
    """Return the offsets of all partitions: OFFSET_BEGINNING or OFFSET_END, by the consumer's isolation level.

    Not AdminClient.list_offsets: after a broker has died that says -1001 for its partitions, and no error.

    Raises:
        KafkaException: not every partition could be asked.
    """
    asked = [TopicPartition(topic, part, which) for part in range(partitions)]
    found = consumer.offsets_for_times(asked, timeout=ASK_SECONDS)
    for one in found:
        if one.error is not None or one.offset < 0:
            raise KafkaException(
                one.error or KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"no offset of {one.partition}")
            )
    return {one.partition: one.offset for one in found}


class WindowsSource:
    """A Source over Kafka."""

    def __init__(self, options: dict[str, Any], topic: str) -> None:
        self._topic = topic
        self._options = options
        self._consumer = Consumer(
            options
            | {
                "group.id": "report",  # the library wants one; nothing is ever committed to it
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 32_768,
            }
        )
        self._identity: Identity | None = None
        self._first: dict[int, int] = {}
        self._behind: set[int] = set()
        self._started = False
        self._check_at = 0.0

    def identity(self) -> Identity:
        """Ask the broker which topic this is and where it ends."""
        try:
            found, partitions = topic_id(self._options, self._topic)
            ends = offsets(self._consumer, self._topic, partitions, OFFSET_END)
            self._first = offsets(self._consumer, self._topic, partitions, OFFSET_BEGINNING)
        except KafkaException as error:
            raise StartAgain(f"topic {self._topic} cannot be asked for ({error})") from error
        self._identity = Identity(found, ends)
        return self._identity

    def start(self, next_offsets: dict[int, int]) -> None:
        """Assign every partition by hand."""
        if self._identity is None:
            raise StartAgain("the topic is not known yet")
        parts = self._identity.ends
        starts = {part: max(first, next_offsets.get(part, 0)) for part, first in self._first.items()}
        self._consumer.assign([TopicPartition(self._topic, part, offset) for part, offset in starts.items()])
        self._behind = set(parts)
        self._started = True
        self._check_at = time.monotonic() + CHECK_TOPIC_EVERY_SECONDS

    def poll(self) -> list[Record]:
        """Wait for the first record, then take what is there already."""
        self._check_topic()
        messages = self._consumer.consume(1, 0.25)
        if messages:
            messages += self._consumer.consume(MOST_RECORDS, 0.01)
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(Record(message.partition(), message.offset(), message.key() or b"", message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._behind.discard(message.partition())
            elif not error.retriable() and error.code() not in AWAY:
                raise StartAgain(str(error))
        return records

    def _check_topic(self) -> None:
        """Notice a topic that was deleted and created again, or got more partitions, under our feet."""
        if time.monotonic() < self._check_at or self._identity is None:
            return
        self._check_at = time.monotonic() + CHECK_TOPIC_EVERY_SECONDS
        try:
            found = topic_id(self._options, self._topic)
        except KafkaException:
            return  # the broker is away: nothing new comes, and countedThrough says so
        if found != (self._identity.topic, len(self._identity.ends)):
            raise StartAgain("the topic is another one now")

    def caught_up(self) -> bool:
        """Tell whether the end of every partition was seen."""
        return self._started and not self._behind

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


# The broker is away or moves: librdkafka goes on by itself.
AWAY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)
