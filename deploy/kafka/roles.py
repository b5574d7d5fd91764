"""Who may do what in Kafka: one line for every right that a role needs, and nothing beyond."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Resource(StrEnum):
    """What a right is about."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTION = "transactional-id"


class Role(StrEnum):
    """A process of the line, as Kafka knows it by its user name."""

    INGEST = "ingest"
    WORKER = "worker"
    REPORT = "report"
    TOPICS = "topics"
    SCALER = "scaler"


@dataclass(frozen=True, slots=True)
class Right:
    """One right of one role.

    Attributes:
        name: of the resource, before its prefix.
        prefixed: the right holds for every name that starts so.
        fixed: the name has no prefix.
    """

    role: Role
    operation: str
    resource: Resource
    name: str
    prefixed: bool = False
    fixed: bool = False

    def named(self, line: str, state: str) -> str:
        """Return the resource's full name behind TOPIC_PREFIX and STATE_PREFIX."""
        if self.fixed:
            return self.name
        return (line if self.name in SHARED else state) + self.name


def _on(role: Role, operation: str, resource: Resource, *names: str, prefixed: bool = False) -> list[Right]:
    return [Right(role, operation, resource, name, prefixed) for name in names]


# Of the line; everything else is of one state, which STATE_PREFIX may set apart.
SHARED = ("beacons", "ingests")
STATE = ("windows", "seen")
ALL = ("beacons", *STATE, "rejected", "ingests")

RIGHTS = [
    *_on(Role.INGEST, "Write", Resource.TOPIC, "beacons", "ingests"),
    *_on(Role.INGEST, "Describe", Resource.TOPIC, "beacons", "ingests"),
    *_on(Role.WORKER, "Read", Resource.TOPIC, "beacons", *STATE),
    *_on(Role.WORKER, "Write", Resource.TOPIC, *STATE, "rejected"),
    # At its start a worker looks whether every topic is as it must be, and keeps its records as long as it must.
    *_on(Role.WORKER, "Describe", Resource.TOPIC, *ALL),
    *_on(Role.WORKER, "DescribeConfigs", Resource.TOPIC, *ALL),
    *_on(Role.WORKER, "Read", Resource.GROUP, "pipeline"),
    # One transactional id a partition: pipeline-0, pipeline-1, ...
    *_on(Role.WORKER, "Write", Resource.TRANSACTION, "pipeline-", prefixed=True),
    *_on(Role.WORKER, "Describe", Resource.TRANSACTION, "pipeline-", prefixed=True),
    # librdkafka asks for a group's coordinator even where it joins no group: fetch, replay, report.
    Right(Role.WORKER, "Describe", Resource.GROUP, "unused", fixed=True),
    Right(Role.REPORT, "Describe", Resource.GROUP, "report", fixed=True),
    # Beacons only to explain a number (/v1/events); with REPORT_SCANS=0 it never reads one.
    *_on(Role.REPORT, "Read", Resource.TOPIC, "windows", "ingests", "beacons"),
    *_on(Role.REPORT, "Describe", Resource.TOPIC, "beacons", "windows", "ingests"),
    *_on(Role.TOPICS, "Create", Resource.TOPIC, *ALL),
    *_on(Role.TOPICS, "Describe", Resource.TOPIC, *ALL),
    *_on(Role.TOPICS, "DescribeConfigs", Resource.TOPIC, *ALL),
    *_on(Role.SCALER, "Describe", Resource.TOPIC, "beacons"),
    *_on(Role.SCALER, "Describe", Resource.GROUP, "pipeline"),
]


def command(right: Right, line: str, state: str) -> str:
    """Return the kafka-acls arguments that give this right."""
    pattern = " --resource-pattern-type prefixed" if right.prefixed else ""
    return (
        f"--add --allow-principal User:{right.role} --operation {right.operation}"
        f" --{right.resource} '{right.named(line, state)}'{pattern}"
    )
