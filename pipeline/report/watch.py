"""The thread that asks Kafka once a second what is there, and what the ingests promise."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.report.counted import Question, promise, question
from pipeline.report.kafka_source import offsets, topic_id

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
EVERY_SECONDS = 1.0
CHECK_TOPIC_EVERY = 15
ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC})


class Ingests:
    """Topic `ingests`, read from its beginning: the last promise of every ingest."""

    def __init__(self, options: dict[str, Any], topic: str) -> None:
        self.promises: dict[str, int] = {}
        self._at_end = False
        self._consumer = Consumer(
            options
            | {
                "group.id": "report",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

    def read(self) -> bool:
        """Take in what came; tell whether the end was seen once: before it nothing can be promised."""
        for message in self._consumer.consume(1000, 0.05):
            error = message.error()
            if error is None:
                self._take((message.key() or b"").decode("utf-8", "replace"), message.value())
            elif error.code() == KafkaError._PARTITION_EOF or error.code() in ABSENT:
                self._at_end = True
        return self._at_end

    def _take(self, ingest: str, value: bytes | None) -> None:
        promised = None if value is None else promise(value)
        if promised is not None:
            self.promises[ingest] = promised
        elif value is None:
            self.promises.pop(ingest, None)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


class Watch:
    """Runs in a thread of its own until told to stop."""

    def __init__(
        self, options: dict[str, Any], beacons: str, ingests: str, on_question: Callable[[Question], None]
    ) -> None:
        self._options = options
        self._ends = self._asking()
        self._beacons = beacons
        self._ingests = Ingests(options, ingests)
        self._on_question = on_question
        self._topic: tuple[str, int] | None = None
        self._rounds = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the thread end after what it does now."""
        self._stopping.set()

    def stop(self) -> None:
        """Wait until the thread has ended; not for a Kafka that does not answer, as nothing is lost by leaving."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def _asking(self) -> Consumer:
        """Return a client that asks for offsets and fetches nothing."""
        alone = {"group.id": "report", "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
        return Consumer(self._options | alone)

    def _run(self) -> None:
        away = False
        while not self._stopping.wait(EVERY_SECONDS):
            try:
                self._ask()
                away = False
            except KafkaException as error:
                # No question asked: countedThrough stands still, as it must.
                self._topic = None
                # A client that fetches nothing goes on asking a dead leader for minutes: take a new one.
                self._ends.close()
                self._ends = self._asking()
                if not away:
                    log.warning("Kafka cannot be asked what is counted: %s", error)
                away = True
        self._ingests.close()
        self._ends.close()

    def _ask(self) -> None:
        if not self._ingests.read():
            return
        if self._topic is None or self._rounds % CHECK_TOPIC_EVERY == 0:
            self._topic = topic_id(self._options, self._beacons)
        self._rounds += 1
        topic, partitions = self._topic
        held = dict(self._ingests.promises)
        # Before the offsets: what was answered until now is then below them.
        asked_at = time.time_ns() // 1_000_000
        end = offsets(self._ends, self._beacons, partitions, OFFSET_END)
        first = offsets(self._ends, self._beacons, partitions, OFFSET_BEGINNING)
        self._on_question(question(asked_at, first, end, held, topic))
