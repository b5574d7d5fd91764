"""Which worker keeps the copy of which partition, as the group's leader last told its members through Kafka.

How far a copy is behind only its worker knows: `worker_standby_lag_seconds` of its /metrics.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import MemberAssignment

from pipeline.config import KafkaSettings

ASK_MS = 10_000

Copies = Mapping[int, tuple[str, ...]]


def ask_copies(kafka: KafkaSettings, group: str, topic: str) -> Copies | None:
    """Return the names of the workers that keep a copy, by partition of `topic`; None if Kafka does not tell.

    By aiokafka: librdkafka hides what an assignor tells a member beside its partitions.
    """
    # What goes wrong here is "unknown" in one column, not a page of its client's log.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(_ask(kafka, group, topic))
    except (KafkaError, OSError, TimeoutError):
        return None
    except (zlib.error, ValueError, KeyError):
        # Told by a leader of another version: the owners are known all the same.
        return None


async def _ask(kafka: KafkaSettings, group: str, topic: str) -> Copies:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=kafka.bootstrap.split(","),
        request_timeout_ms=ASK_MS,
        security_protocol=kafka.security_protocol,
        ssl_context=kafka.tls(),
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_plain_username=kafka.sasl_username or None,
        sasl_plain_password=kafka.password() or None,
    )
    try:
        await admin.start()
        [answer] = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    [described] = answer.to_object()["groups"]
    return kept_by(((one["client_id"], one["member_assignment"]) for one in described["members"]), topic)


def kept_by(told: Iterable[tuple[str, bytes]], topic: str) -> Copies:
    """Return the names of the workers that keep a copy, by partition.

    Args:
        told: each worker's name, and what the group's leader told it, in Kafka's own form with Faust's words inside.
        topic: whose partitions are meant.
    """
    found: dict[int, tuple[str, ...]] = {}
    for name, assignment in sorted(told):
        for partition in _standbys(assignment).get(topic, ()):
            found[partition] = (*found.get(partition, ()), name)
    return found


def _standbys(assignment: bytes) -> Mapping[str, Iterable[int]]:
    """Return the copies of one worker; a member that has not been told anything yet keeps none."""
    if not assignment:
        return {}
    said: Any = json.loads(zlib.decompress(MemberAssignment.decode(assignment).user_data))
    standbys: Mapping[str, Iterable[int]] = said["assignment"]["standbys"]
    return standbys
