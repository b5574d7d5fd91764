"""`python -m deploy.kafka.acls`: gives every role its rights in Kafka, or prints the kafka-acls commands for it."""

from __future__ import annotations

import click
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from deploy.kafka.roles import RIGHTS, Resource, Right, command
from pipeline.config import KafkaSettings, LineSettings, read_settings
from pipeline.topics import kafka_python_settings

KINDS = {
    Resource.TOPIC: ResourceType.TOPIC,
    Resource.GROUP: ResourceType.GROUP,
    Resource.TRANSACTION: ResourceType.TRANSACTIONAL_ID,
}
OPERATIONS = {
    "Create": ACLOperation.CREATE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
}


def acl(right: Right, line: str, state: str) -> ACL:
    """Return a right as Kafka's admin protocol says it."""
    pattern = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
    return ACL(
        f"User:{right.role}",
        "*",
        OPERATIONS[right.operation],
        ACLPermissionType.ALLOW,
        ResourcePattern(KINDS[right.resource], right.named(line, state), pattern),
    )


@click.command()
@click.option("--apply", is_flag=True, help="Give the rights, as the user of KAFKA_*; without it they are printed.")
def main(apply: bool) -> None:
    """Rights of ingest, worker, report, topics and scaler on the topics, the group and the transactions of a line.

    The names follow TOPIC_PREFIX and STATE_PREFIX. The broker must deny what nobody gave: StandardAuthorizer as its
    authorizer, allow.everyone.if.no.acl.found=false.
    """
    settings: LineSettings = read_settings(LineSettings)
    line, state = settings.topic_prefix, settings.state
    kafka: KafkaSettings = read_settings(KafkaSettings)
    if not apply:
        for right in RIGHTS:
            tool = f"kafka-acls.sh --bootstrap-server {kafka.bootstrap} --command-config admin.properties"
            click.echo(f"{tool} {command(right, line, state)}")
        return
    admin = KafkaAdminClient(client_id="acls", **kafka_python_settings(kafka))
    try:
        given = admin.create_acls([acl(right, line, state) for right in RIGHTS])
    finally:
        admin.close()
    if given["failed"]:
        raise click.ClickException(f"Kafka refused: {given['failed']}")
    click.echo(f"{len(given['succeeded'])} rights given")


if __name__ == "__main__":
    main()
