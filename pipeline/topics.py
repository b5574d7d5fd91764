"""The topics of the line: created with their settings, refused where they exist with other partitions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, NewTopic
from kafka.errors import InvalidReplicationFactorError, KafkaError, TopicAlreadyExistsError

from pipeline.changelog import Lost, Topics
from pipeline.config import KafkaSettings, LineSettings, RefusedSetting
from pipeline.deadletter import MAX_LETTER_BYTES

DAY_MS = 86_400_000
SHOWN_SECONDS = 30.0
# Broker default; what one `beacons` record may hold at most.
MAX_RECORD_BYTES = 1_048_588


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it has to be."""

    name: str
    partitions: int
    settings: dict[str, str]


def topic_plans(line: LineSettings, dedupe_horizon_s: int) -> list[TopicPlan]:
    """Return the topics of a line with their settings (design section 2)."""
    topics = Topics.of(line.topic_prefix, line.state)
    in_sync = str(max(1, line.replication - 1))
    # Broker time: no client's clock decides what retention removes, or which version of a row is the newer one.
    everywhere = {
        "min.insync.replicas": in_sync,
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "LogAppendTime",
    }
    delete = everywhere | {"cleanup.policy": "delete"}
    compact = everywhere | {"cleanup.policy": "compact", "delete.retention.ms": str(7 * DAY_MS)}
    return [
        TopicPlan(topics.beacons, line.partitions, delete | {"retention.ms": str(7 * DAY_MS)}),
        TopicPlan(topics.windows, line.partitions, compact | {"min.cleanable.dirty.ratio": "0.3"}),
        # Marks are written once and never changed: whole segments go once the horizon is over.
        TopicPlan(
            topics.seen,
            line.partitions,
            delete | {"retention.ms": str(2 * dedupe_horizon_s * 1000), "segment.ms": str(DAY_MS // 4)},
        ),
        TopicPlan(
            topics.rejected,
            line.partitions,
            delete | {"retention.ms": str(30 * DAY_MS), "max.message.bytes": str(MAX_LETTER_BYTES)},
        ),
        TopicPlan(topics.ingests, 1, compact),
    ]


def kafka_python_settings(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the connection part of a kafka-python client's settings."""
    settings: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap.split(","),
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.password(),
        }
    files = {"ssl_cafile": kafka.ca_file, "ssl_certfile": kafka.cert_file, "ssl_keyfile": kafka.key_file}
    return settings | {name: str(file) for name, file in files.items() if file is not None}


def ensure_topics(kafka: KafkaSettings, line: LineSettings, dedupe_horizon_s: int) -> list[str]:
    """Create the topics that are missing; return a line for each that was there and keeps its records too short.

    Such a topic is told, not refused: a line that runs must be able to start another worker.

    Raises:
        RefusedSetting: Kafka cannot be reached or does not create a topic, or a topic exists with another number of
            partitions.
    """
    plans = topic_plans(line, dedupe_horizon_s)
    try:
        admin = KafkaAdminClient(client_id="topics", **kafka_python_settings(kafka))
    except KafkaError as error:
        raise RefusedSetting(f"Kafka at KAFKA_BOOTSTRAP={kafka.bootstrap} cannot be reached: {error}") from error
    try:
        existing = set(admin.list_topics())
        for plan in plans:
            if plan.name not in existing:
                _create(admin, plan, line.replication)
        for name, found in _shown(admin, [plan.name for plan in plans]).items():
            wanted = next(plan.partitions for plan in plans if plan.name == name)
            if found != wanted:
                raise RefusedSetting(
                    f"topic {name} has {found} partitions, PARTITIONS says {wanted}: set "
                    f"PARTITIONS={found}, or use a new TOPIC_PREFIX; the number is fixed for the life of the state"
                )
        return _short(admin, kafka.bootstrap, [plan for plan in plans if plan.name in existing])
    finally:
        admin.close()


def _shown(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Return the topics' numbers of partitions once Kafka shows them all.

    A topic created just now has none for a moment: who started meanwhile would say that it does not exist.
    """
    deadline = time.monotonic() + SHOWN_SECONDS
    while True:
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(names)}
        if all(found.get(name) for name in names):
            return found
        if time.monotonic() > deadline:
            raise RefusedSetting(f"Kafka does not show its new topics after {SHOWN_SECONDS:.0f} s: {names}")
        time.sleep(0.05)


def _short(admin: KafkaAdminClient, bootstrap: str, plans: list[TopicPlan]) -> list[str]:
    """Return a line for each topic whose retention is shorter than its plan's: a setting was raised since, say."""
    asked = [ConfigResource("TOPIC", plan.name, ["retention.ms"]) for plan in plans if "retention.ms" in plan.settings]
    try:
        shown = admin.describe_configs(asked, config_filter="all").get("topic", {}) if asked else {}
    except KafkaError as error:
        return [f"whether topics keep their records long enough is not known: {type(error).__name__}"]
    lines = []
    for plan in plans:
        # A user without the right DescribeConfigs is shown nothing.
        found = int(shown.get(plan.name, {}).get("retention.ms", {"value": -1})["value"])
        wanted = int(plan.settings.get("retention.ms", 0))
        if 0 <= found < wanted:  # -1: for ever
            lines.append(
                f"topic {plan.name} keeps records for {found} ms, this line's settings ask for {wanted}: run "
                f"kafka-configs.sh --bootstrap-server {bootstrap} --command-config admin.properties --alter "
                f"--entity-type topics --entity-name {plan.name} --add-config retention.ms={wanted}"
            )
    return lines


def _create(admin: KafkaAdminClient, plan: TopicPlan, replication: int) -> None:
    try:
        admin.create_topics([NewTopic(plan.name, plan.partitions, replication, topic_configs=plan.settings)])
    except TopicAlreadyExistsError:
        return  # another process of this line was quicker
    except InvalidReplicationFactorError as error:
        raise RefusedSetting(
            f"topic {plan.name} cannot be created: REPLICATION={replication} asks for more brokers than Kafka has"
        ) from error
    except KafkaError as error:
        # Only its name: what the library says besides is the whole request.
        raise RefusedSetting(f"Kafka does not create topic {plan.name}: {type(error).__name__}") from error


def topic_id_of(kafka: KafkaSettings, topic: str, timeout_s: float = 30.0) -> str:
    """Return the id that Kafka gave a topic when it was created: a topic created again has another.

    Raises:
        Lost: Kafka does not answer, or has no such topic now, or the password cannot be read now.
    """
    try:
        admin = AdminClient(kafka.librdkafka())
        try:
            described = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)
            return str(described[topic].result().topic_id)
        finally:
            # A failure leaves this frame in a cycle: the client's threads would stay until that is found.
            del admin
    except KafkaException as error:
        raise Lost(f"topic {topic} cannot be described: {error.args[0].str()}") from error
    except RefusedSetting as refused:
        # A file that is being replaced is empty for a moment: no reason to end a worker that runs.
        raise Lost(f"topic {topic} cannot be described: {refused.line}") from refused
