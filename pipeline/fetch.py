"""Faust's consumer with librdkafka doing the fetching: a Faust event carries all records of a fetch, not one.

Faust 0.15 costs about 85 us a record on its way through aiokafka, the conductor and the stream, whatever is in
it; here a record costs about 1 us and an event 200 us, however many records it carries. Faust keeps what it is here
for: the group, the assignment, the agent, acknowledgements and the committed offset, which is a hint only.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import faust
from aiokafka.structs import TopicPartition as KafkaTopicPartition
from confluent_kafka import Consumer as RdConsumer
from confluent_kafka import KafkaError, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

log = logging.getLogger(__name__)

# Between two empty fetches; well below a checkpoint's second, and cheap: about 20 us each.
IDLE_S = 0.02
MOST_RECORDS = 500


class Records:
    """What one fetch brought of one partition, in order.

    Attributes:
        request: which Fetch.start asked for them.
        since: the offset that Kafka was asked for: what lies between it and the first item is not in the log.
        offset: of the last record: what Faust acknowledges.
        items: (offset, value) of each record.
    """

    __slots__ = ("items", "offset", "request", "since")

    def __init__(self, request: int, since: int) -> None:
        """Start empty."""
        self.request = request
        self.since = since
        self.items: list[tuple[int, bytes | None]] = []
        self.offset = -1


class Fetch:
    """The librdkafka consumer: reads the open partitions from where each wants to go on."""

    def __init__(self, kafka: dict[str, Any], topic: str) -> None:
        """Prepare; `kafka` is the connection part of a librdkafka configuration."""
        self._topic = topic
        self._assigned: set[int] = set()
        self._requests: dict[int, int] = {}
        # By partition, the offset after the last record that came.
        self._next: dict[int, int] = {}
        # Partitions whose next offset is gone from the log; whoever handles one takes it out.
        self.out_of_range: set[int] = set()
        self.faults: dict[str, int] = {}
        self._consumer = RdConsumer(
            kafka
            | {
                # librdkafka asks for a group name to assign by hand; it joins none and commits nothing.
                "group.id": "unused",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.auto.offset.store": False,
                "isolation.level": "read_uncommitted",
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 8_192,
                # A full queue is a quarter of a second of work; by default it is filled again only after a second.
                "fetch.queue.backoff.ms": 10,
                "fetch.message.max.bytes": 1_048_576,
                "log.connection.close": False,
            }
        )

    def start(self, partition: int, offset: int) -> None:
        """Read a partition from an offset on."""
        self.stop(partition)
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, offset)])
        self._assigned.add(partition)
        self._requests[partition] = self.request(partition) + 1
        self._next[partition] = offset

    def request(self, partition: int) -> int:
        """Return the number of the latest start of a partition: what an earlier one brought may still be on its way."""
        return self._requests.get(partition, 0)

    def stop(self, partition: int) -> None:
        """Read a partition no more."""
        if partition in self._assigned:
            self._assigned.discard(partition)
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def low(self, partition: int) -> int:
        """Return the offset of the first record that Kafka still has. Blocks up to 10 s."""
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=10)
        return int(low)

    def take(self) -> dict[int, Records]:
        """Return what has come, by partition; does not wait."""
        by_partition: dict[int, Records] = {}
        if not self._assigned:
            return by_partition
        for message in self._consumer.consume(MOST_RECORDS, 0):
            error = message.error()
            partition = message.partition()
            if error is not None:
                self._note(error, partition)
                continue
            records = by_partition.get(partition)
            if records is None:
                records = by_partition[partition] = Records(self.request(partition), self._next[partition])
            records.offset = message.offset()
            records.items.append((records.offset, message.value()))
        for partition, records in by_partition.items():
            self._next[partition] = records.offset + 1
        return by_partition

    def _note(self, error: KafkaError, partition: int) -> None:
        name = error.name()
        self.faults[name] = self.faults.get(name, 0) + 1
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self.out_of_range.add(partition)

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()


class _NothingRead(dict[TP, int | None]):
    """What Faust remembers of how far it has read: nothing.

    It passes over, in silence, every event below the offset it has read or committed (faust 0.15.3,
    transport/consumer.py, `_drain_messages`). A partition that is opened again goes back to its position, which may
    be below both; what comes twice is the partition's to tell.
    """

    def __getitem__(self, tp: TP) -> int | None:
        """Return None for every partition: nothing is read yet."""
        return None


class Consumer(driver.Consumer):
    """Faust's consumer, whose records come from a Fetch."""

    fetch: Fetch

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start with nothing read, for good."""
        super().__init__(*args, **kwargs)
        self._read_offset = _NothingRead()

    async def _getmany(self, active_partitions: Any, timeout: float) -> dict[TP, list[Records]]:  # noqa: ASYNC109
        fetched = self.fetch.take()
        if not fetched:
            await asyncio.sleep(IDLE_S)
        topic = self.fetch._topic
        return {TP(topic, partition): [records] for partition, records in fetched.items()}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        now = asyncio.get_running_loop().time()
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            now,
            0,
            [],
            None,
            record,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def highwater(self, tp: TP) -> int:
        """Return nothing of use: lag is measured by what is counted, see pipeline.metrics."""
        return 0

    async def perform_seek(self) -> None:
        """Do nothing: where to read on is said by the position row, not by Faust's committed offset."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: an acknowledged event stands for every record before it."""

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        last = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return cast(int, last) + 1

    def share_again(self) -> None:
        """Have the group share its partitions out again: from its leader Kafka takes a repeated join as that wish."""
        thread = cast(driver.AIOKafkaConsumerThread, self._thread)
        coordinator = thread._ensure_consumer()._coordinator
        thread.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)


class _PausingListener(driver.ConsumerRebalanceListener):
    """Keeps aiokafka from fetching what librdkafka fetches."""

    async def on_partitions_assigned(self, assigned: Any) -> None:
        consumer = self._thread._ensure_consumer()
        consumer.pause(*(KafkaTopicPartition(tp.topic, tp.partition) for tp in assigned))
        await super().on_partitions_assigned(assigned)


Consumer.RebalanceListener = _PausingListener


class Transport(driver.Transport):
    """Faust's Kafka transport with this file's consumer."""

    Consumer = Consumer

    def __init__(self, url: Any, app: faust.App, fetch: Fetch) -> None:
        """Take the fetch that the consumer reads from."""
        super().__init__(url, app)
        self._fetch = fetch

    def create_consumer(self, callback: Any, **kwargs: Any) -> Any:
        """Return the consumer, reading from the fetch."""
        consumer = super().create_consumer(callback, **kwargs)
        consumer.fetch = self._fetch
        return consumer
