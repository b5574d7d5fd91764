"""What the commands ask of Kafka: where topics begin and end, their records, positions, the group's members."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from pipeline.batch import Position, is_position_key
from pipeline.changelog import Topics
from pipeline.config import KafkaSettings, LineSettings, RefusedSetting, read_settings

ASK_S = 10.0
# The library waits so long for more, even where a partition is at its end.
POLL_S = 0.1
SILENT_S = 30.0
AGAIN_S = 0.3
MOST_RECORDS = 10_000
# A partition moves, or its topic was created a moment ago: it answers soon.
MOVING = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
# A Kafka that is new makes the topic of its groups when it is first asked for one.
COORDINATING = (
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
)

Offsets = dict[int, int]


@dataclass(frozen=True, slots=True)
class Member:
    """A worker of the group, with the partitions of `beacons` that it holds."""

    name: str
    host: str
    partitions: frozenset[int]


@contextmanager
def asking(kafka: KafkaSettings) -> Iterator[None]:
    """Turn an error of Kafka into one line for the operator."""
    try:
        yield
    except KafkaException as error:
        said = error.args[0].str() if isinstance(error.args[0], KafkaError) else str(error)
        raise RefusedSetting(f"Kafka at KAFKA_BOOTSTRAP={kafka.bootstrap}: {said}") from error


class Broker:
    """The line's Kafka, as a command sees it. Every call blocks, and refuses in one line when Kafka does."""

    def __init__(self, kafka: KafkaSettings, line: LineSettings) -> None:
        self.kafka = kafka
        self.line = line
        self.topics = Topics.of(line.topic_prefix, line.state)
        self.group = line.state + "pipeline"
        self._admin = AdminClient(kafka.librdkafka() | {"log_level": 0})

    @classmethod
    def from_environment(cls) -> Broker:
        """Return the broker of this environment's settings."""
        return cls(read_settings(KafkaSettings), read_settings(LineSettings))

    @property
    def admin(self) -> AdminClient:
        """Return the client that changes topics."""
        return self._admin

    # -- where topics begin and end

    def partitions(self, topic: str) -> list[int]:
        """Return a topic's partitions; none if there is no such topic."""
        with asking(self.kafka):
            found = self._admin.list_topics(timeout=ASK_S).topics.get(topic)
        return [] if found is None else sorted(found.partitions)

    def starts(self, topic: str) -> Offsets:
        """Return the offset of the first record of every partition."""
        return self._offsets(topic, OffsetSpec.earliest())

    def ends(self, topic: str, committed: bool = False) -> Offsets:
        """Return the offset after the last record of every partition; `committed`: after the last committed one."""
        return self._offsets(topic, OffsetSpec.latest(), committed)

    def at(self, topic: str, time_ms: int) -> Offsets:
        """Return per partition the first offset that Kafka took in at this instant or later."""
        found, ends = self._offsets(topic, OffsetSpec.for_timestamp(max(0, time_ms))), self.ends(topic)
        return {part: offset if offset >= 0 else ends[part] for part, offset in found.items()}

    def _offsets(self, topic: str, which: OffsetSpec, committed: bool = False) -> Offsets:
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        parts = self.partitions(topic)
        if not parts:
            raise RefusedSetting(f"there is no topic {topic}: check TOPIC_PREFIX, or run: python -m pipeline topics")
        wanted = {TopicPartition(topic, part): which for part in parts}
        give_up = time.monotonic() + SILENT_S
        while True:
            try:
                asked = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=ASK_S)
                found = {place.partition: int(future.result().offset) for place, future in asked.items()}
            except KafkaException as error:
                if error.args[0].code() not in MOVING or time.monotonic() > give_up:
                    with asking(self.kafka):
                        raise
            else:
                # -1: no record that late. Below: a leader that did not answer, for which the library names no error.
                if min(found.values()) >= -1:
                    return found
                if time.monotonic() > give_up:
                    raise RefusedSetting(f"not every partition of {topic} answers: Kafka has no leader for some")
            time.sleep(AGAIN_S)

    def settings(self, topic: str) -> dict[str, str]:
        """Return a topic's settings as Kafka says them."""
        asked = ConfigResource(ResourceType.TOPIC, topic)
        with asking(self.kafka):
            found = self._admin.describe_configs([asked], request_timeout=ASK_S)[asked].result()
        return {name: entry.value for name, entry in found.items()}

    def topic_id(self, topic: str) -> str:
        """Return the id of a topic: a topic created again has another."""
        with asking(self.kafka):
            asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=ASK_S)
            return str(asked[topic].result().topic_id)

    # -- records

    def read(self, topic: str, begin: Offsets, end: Offsets) -> Iterator[list[Message]]:
        """Yield the committed records from `begin` up to, not with, `end`, as they come.

        Raises:
            RefusedSetting: Kafka is silent, or lost what was asked for.
        """
        left = {part for part in begin if begin[part] < end.get(part, 0)}
        if not left:
            return
        consumer = Consumer(self.consumer_settings())
        try:
            consumer.assign([TopicPartition(topic, part, begin[part]) for part in left])
            silent_s = 0.0
            while left:
                messages = consumer.consume(MOST_RECORDS, POLL_S)
                silent_s = 0.0 if messages else silent_s + POLL_S
                if silent_s >= SILENT_S:
                    raise RefusedSetting(f"Kafka at KAFKA_BOOTSTRAP={self.kafka.bootstrap} is silent about {topic}")
                with asking(self.kafka):
                    yield [message for message in messages if self._is_wanted(message, end, left)]
        finally:
            consumer.close()

    @staticmethod
    def _is_wanted(message: Message, end: Offsets, left: set[int]) -> bool:
        part, error = message.partition(), message.error()
        if error is None:
            if message.offset() >= end[part] - 1:
                left.discard(part)
            return bool(message.offset() < end[part])
        if error.code() == KafkaError._PARTITION_EOF:
            left.discard(part)
        elif not error.retriable() and error.code() != KafkaError._TRANSPORT:
            raise KafkaException(error)
        return False

    def consumer_settings(self) -> dict[str, Any]:
        """Return a librdkafka configuration that reads committed records and leaves no trace."""
        return self.kafka.librdkafka() | {
            # The library wants a group; it is never joined and nothing is committed to it.
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            "queued.max.messages.kbytes": 65_536,
            "log_level": 0,
        }

    # -- what is counted

    def positions(self, ends: Offsets | None = None) -> dict[int, Position]:
        """Return the position row of every partition that has one: the last record of each checkpoint.

        Args:
            ends: of topic `windows`, where the checkpoint is wanted that lies before them.
        """
        topic = self.topics.windows
        first, ends = self.starts(topic), ends or self.ends(topic, committed=True)
        found: dict[int, Position] = {}
        back = 100
        while any(part not in found and ends[part] > first[part] for part in ends):
            begin = {part: max(first[part], ends[part] - back) for part in ends if part not in found}
            for messages in self.read(topic, begin, ends):
                for message in messages:
                    if is_position_key(message.key()) and message.value() is not None:
                        found[message.partition()] = Position.read(message.value())
            if all(begin[part] == first[part] for part in begin):
                break
            back *= 20
        return found

    def members(self) -> list[Member]:
        """Return the workers of the group that are alive for Kafka."""
        described = self._described()
        return [
            Member(
                member.client_id,
                member.host.lstrip("/"),
                frozenset(
                    place.partition
                    for place in (member.assignment.topic_partitions if member.assignment else ())
                    if place.topic == self.topics.beacons
                ),
            )
            for member in (described.members if described is not None else ())
        ]

    def _described(self) -> Any:
        """Return the group as Kafka describes it; None if there is none."""
        give_up = time.monotonic() + SILENT_S
        while True:
            try:
                asked = self._admin.describe_consumer_groups([self.group], request_timeout=ASK_S)
                return asked[self.group].result()
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.GROUP_ID_NOT_FOUND:
                    return None
                if code not in COORDINATING or time.monotonic() > give_up:
                    with asking(self.kafka):
                        raise
            time.sleep(AGAIN_S)
