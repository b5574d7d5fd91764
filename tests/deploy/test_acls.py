"""Rights: what each role may do, and nothing else; what is printed is what is given."""

from __future__ import annotations

from click.testing import CliRunner
from kafka.admin import ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourceType

from deploy.kafka.acls import acl, main
from deploy.kafka.roles import RIGHTS, Resource, Role, command


def rights(role: Role) -> set[str]:
    return {f"{one.operation} {one.resource} {one.named('p-', 's-')}" for one in RIGHTS if one.role is role}


def test_ingest_only_writes_beacons_and_its_promise() -> None:
    assert rights(Role.INGEST) == {
        "Write topic p-beacons",
        "Describe topic p-beacons",
        "Write topic p-ingests",
        "Describe topic p-ingests",
    }


def test_the_report_reads_counts_promises_and_the_beacons_behind_a_number_and_writes_nothing() -> None:
    assert rights(Role.REPORT) == {
        "Read topic s-windows",
        "Describe topic s-windows",
        "Read topic p-ingests",
        "Describe topic p-ingests",
        "Read topic p-beacons",
        "Describe topic p-beacons",
        "Describe group report",
    }


def test_a_worker_writes_no_beacon_and_only_its_own_transactions() -> None:
    written = {right for right in rights(Role.WORKER) if right.startswith("Write")}
    assert written == {
        "Write topic s-windows",
        "Write topic s-seen",
        "Write topic s-rejected",
        "Write transactional-id s-pipeline-",
    }


def test_no_role_may_delete_or_alter() -> None:
    assert {one.operation for one in RIGHTS} == {"Read", "Write", "Describe", "DescribeConfigs", "Create"}


def test_every_right_can_be_said_to_kafka() -> None:
    for right in RIGHTS:
        assert acl(right, "p-", "s-").operation.name.replace("_", "") == right.operation.upper()


def test_a_right_is_said_to_kafka_as_to_people() -> None:
    right = next(one for one in RIGHTS if one.resource is Resource.TRANSACTION and one.operation == "Write")
    said = acl(right, "p-", "s-")
    assert (said.principal, said.operation, said.permission_type) == (
        "User:worker",
        ACLOperation.WRITE,
        ACLPermissionType.ALLOW,
    )
    pattern = said.resource_pattern
    assert (pattern.resource_type, pattern.resource_name, pattern.pattern_type) == (
        ResourceType.TRANSACTIONAL_ID,
        "s-pipeline-",
        ACLResourcePatternType.PREFIXED,
    )
    assert command(right, "p-", "s-") == (
        "--add --allow-principal User:worker --operation Write --transactional-id 's-pipeline-'"
        " --resource-pattern-type prefixed"
    )


def test_without_apply_the_commands_are_printed() -> None:
    shown = CliRunner().invoke(main, [], env={"KAFKA_BOOTSTRAP": "k:1", "TOPIC_PREFIX": "p-"})
    lines = shown.output.splitlines()
    assert shown.exit_code == 0
    assert len(lines) == len(RIGHTS)
    assert lines[0] == (
        "kafka-acls.sh --bootstrap-server k:1 --command-config admin.properties "
        "--add --allow-principal User:ingest --operation Write --topic 'p-beacons'"
    )
