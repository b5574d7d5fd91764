"""The way into Kafka: takes a record and later says whether every replica in sync has it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from ingest.config import Config

log = logging.getLogger("ingest.sink")

Delivered = Callable[[str | None], None]
_WRONG_TOPIC = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)


@dataclass(frozen=True, slots=True)
class WrongTopic:
    """A topic is not as it must be; `line` says what to do."""

    line: str


class Sink:
    """One idempotent producer, used from the event loop's thread alone.

    Deliveries are called by `poll`, on the loop, so no thread competes for the interpreter lock and nothing
    has to hop between threads.
    """

    def __init__(self, config: Config) -> None:
        self._beacons = config.topic("beacons")
        self._ingests = config.topic("ingests")
        self._partitions = config.partitions
        self._settings = settings(config) | {"error_cb": self._heard}
        # The last word of Kafka's client about Kafka, for the log line of whoever notices.
        self.last_error = "none"
        self._producer = Producer(self._settings)
        self._dead = False
        # Kafka said that a topic is not there: nothing is sent until the topics were looked at again.
        self.topics_doubtful = True

    def send(self, partition: int, value: bytes, delivered: Delivered) -> bool:
        """Hand a record over; False: the producer is full or refuses, and `delivered` will not be called."""
        return self._produce(self._beacons, partition, None, value, delivered)

    def beat(self, key: bytes, value: bytes | None, delivered: Delivered) -> bool:
        """Hand over this ingest's record in `ingests`; None takes its name off."""
        return self._produce(self._ingests, 0, key, value, delivered)

    def _produce(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, delivered: Delivered
    ) -> bool:
        def on_delivery(error: KafkaError | None, _: object) -> None:
            if error is None:
                delivered(None)
            else:
                self._note(error)
                delivered(error.name())

        try:
            self._producer.produce(topic, value, key, partition, on_delivery)
        except BufferError:
            return False
        except KafkaException as error:
            self._note(error.args[0])
            return False
        return True

    def _heard(self, error: KafkaError) -> None:
        # That all brokers are down follows what is wrong with each, and says nothing of it.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self.last_error == "none":
            self.last_error = f"{error.name()}: {error.str()}"

    def _note(self, error: KafkaError) -> None:
        self._heard(error)
        if error.code() in _WRONG_TOPIC:
            self.topics_doubtful = True
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._dead = True

    def poll(self) -> None:
        """Call the deliveries that are due; never waits."""
        self._producer.poll(0)
        if self._dead:
            self._replace()

    def _replace(self) -> None:
        """Go on with a new producer: one that lost its place in its order of records takes no more."""
        log.error("producer_replaced records_given_up=%d", len(self._producer))
        old, self._producer = self._producer, Producer(self._settings)
        self._dead = False
        old.purge()
        # All that it held is called undelivered, and so goes to the spool.
        old.poll(0)
        # Its end can wait for its broker threads, which the loop must not.
        threading.Thread(target=lambda _: None, args=(old,), daemon=True).start()

    def __len__(self) -> int:
        return len(self._producer)

    def look_at_topics(self, seconds: float) -> WrongTopic | None:
        """Compare the topics with the settings; raises KafkaException while Kafka is away. Blocks."""
        # All topics are listed, because asking for one by name can create it.
        topics = self._producer.list_topics(timeout=seconds).topics
        for name, partitions in ((self._beacons, self._partitions), (self._ingests, 1)):
            found = topics.get(name)
            if found is None or found.error is not None:
                return WrongTopic(f"topic {name} does not exist: create it with `python -m pipeline topics`")
            if len(found.partitions) != partitions:
                return WrongTopic(
                    f"topic {name} has {len(found.partitions)} partitions, not {partitions}: set PARTITIONS "
                    "to what it has, or choose another TOPIC_PREFIX and run `python -m pipeline topics`"
                )
        self.topics_doubtful = False
        return None


def settings(config: Config) -> dict[str, Any]:
    """Return the producer's settings; every one that durability rests on is set, none left to a default."""
    chosen: dict[str, Any] = {
        "bootstrap.servers": config.kafka_bootstrap,
        "client.id": "ingest",
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": config.ingest_compression,
        # Records are packed already; a little time lets records of several partitions share a request.
        "linger.ms": 1,
        "queue.buffering.max.kbytes": config.ingest_queue_mib * 1024,
        "queue.buffering.max.messages": 100_000,
        # By then the beacons are in the spool; a record that waits longer would only come twice.
        "message.timeout.ms": 5_000,
        # A broker that is frozen or cut off is left, so that it is found again soon after it is back.
        "request.timeout.ms": 3_000,
        "socket.timeout.ms": 3_000,
        "socket.connection.setup.timeout.ms": 3_000,
        "socket.keepalive.enable": True,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 30_000,
        "allow.auto.create.topics": False,
        "log.connection.close": False,
        # Its own log says the same twice a second while Kafka is away.
        "log_level": 2,
        "logger": logging.getLogger("ingest.kafka"),
        "security.protocol": config.kafka_security_protocol,
    }
    return chosen | _credentials(config)


def _credentials(config: Config) -> dict[str, Any]:
    password = config.kafka_sasl_password_file
    given = {
        "sasl.mechanism": config.kafka_sasl_mechanism,
        "sasl.username": config.kafka_sasl_username,
        "sasl.password": password.read_text().strip() if password else "",
        "ssl.ca.location": str(config.kafka_ca_file or ""),
        "ssl.certificate.location": str(config.kafka_cert_file or ""),
        "ssl.key.location": str(config.kafka_key_file or ""),
    }
    return {name: value for name, value in given.items() if value}
