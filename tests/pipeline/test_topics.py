"""The topics of a line: their settings are what the design's guarantees rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka.admin import ConfigResource, NewTopic
from kafka.errors import InvalidReplicationFactorError, KafkaError, PolicyViolationError

from pipeline import topics as topics_module
from pipeline.__main__ import cli
from pipeline.changelog import Lost, Topics
from pipeline.config import KafkaSettings, LineSettings, RefusedSetting
from pipeline.topics import ensure_topics, topic_id_of, topic_plans

DAY_MS = 86_400_000


def test_every_topic_has_the_settings_that_its_use_needs() -> None:
    plans = {plan.name: plan for plan in topic_plans(LineSettings(topic_prefix="x-", partitions=5), 3600)}
    assert {name: plan.partitions for name, plan in plans.items()} == {
        "x-beacons": 5,
        "x-windows": 5,
        "x-seen": 5,
        "x-rejected": 5,
        "x-ingests": 1,
    }
    assert {name: plan.settings["cleanup.policy"] for name, plan in plans.items()} == {
        "x-beacons": "delete",
        "x-windows": "compact",
        "x-seen": "delete",
        "x-rejected": "delete",
        "x-ingests": "compact",
    }
    assert {
        name: int(plan.settings["retention.ms"]) for name, plan in plans.items() if "retention.ms" in plan.settings
    } == {
        "x-beacons": 7 * DAY_MS,
        "x-seen": 2 * 3600 * 1000,
        "x-rejected": 30 * DAY_MS,
    }
    assert {plan.settings["unclean.leader.election.enable"] for plan in plans.values()} == {"false"}


def test_retention_goes_by_the_brokers_clock_alone() -> None:
    for plan in topic_plans(LineSettings(), 3600):
        if plan.settings["cleanup.policy"] == "delete":
            assert plan.settings["message.timestamp.type"] == "LogAppendTime"


def test_an_acknowledged_record_is_on_all_replicas_but_one() -> None:
    for replication, in_sync in ((1, "1"), (2, "1"), (3, "2")):
        plans = topic_plans(LineSettings(replication=replication), 3600)
        assert {plan.settings["min.insync.replicas"] for plan in plans} == {in_sync}


def test_a_second_state_of_the_same_beacons_has_its_own_names() -> None:
    assert Topics.of("a-", "b-") == Topics("a-beacons", "b-windows", "b-seen", "b-rejected", "a-ingests")


class MemoryAdmin:
    """Stands where kafka.KafkaAdminClient stands: topics, and what of their settings this user is shown."""

    def __init__(self) -> None:
        self.topics = {plan.name: plan for plan in topic_plans(LineSettings(), 3600)}
        self.fault: KafkaError | None = None
        self.hides = False

    def list_topics(self) -> list[str]:
        return list(self.topics)

    def describe_topics(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return [{"name": name, "partitions": list(range(self.topics[name].partitions))} for name in names]

    def create_topics(self, _: list[NewTopic]) -> None:
        assert self.fault is not None
        raise self.fault

    def describe_configs(self, asked: list[ConfigResource], config_filter: str) -> dict[str, Any]:
        if self.fault is not None:
            raise self.fault
        shown = {} if self.hides else {one.name: self.topics[one.name].settings for one in asked}
        return {"topic": {name: {key: {"value": value} for key, value in of.items()} for name, of in shown.items()}}

    def close(self) -> None:
        pass


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> MemoryAdmin:
    """The topics of a line with a horizon of an hour."""
    admin = MemoryAdmin()
    monkeypatch.setattr(topics_module, "KafkaAdminClient", lambda **_: admin)
    return admin


def test_a_topic_that_keeps_less_than_a_raised_setting_asks_for_is_told_with_what_to_run(admin: MemoryAdmin) -> None:
    (line,) = ensure_topics(KafkaSettings(), LineSettings(), 7200)
    assert line == (
        "topic seen keeps records for 7200000 ms, this line's settings ask for 14400000: run kafka-configs.sh "
        "--bootstrap-server 127.0.0.1:9092 --command-config admin.properties --alter --entity-type "
        "topics --entity-name seen --add-config retention.ms=14400000"
    )


def test_the_command_says_what_keeps_too_little_and_does_not_keep_the_line_from_starting(
    admin: MemoryAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_DEDUPE_HORIZON_S", "7200")
    said = CliRunner().invoke(cli, ["topics"])
    assert (said.exit_code, said.stdout) == (0, "topics are there\n")
    assert said.stderr.startswith("topic seen keeps records for 7200000 ms")


def test_topics_that_keep_as_long_or_longer_or_for_ever_or_are_not_shown_are_fine(admin: MemoryAdmin) -> None:
    assert ensure_topics(KafkaSettings(), LineSettings(), 3600) == []
    assert ensure_topics(KafkaSettings(), LineSettings(), 60) == []
    admin.topics["seen"].settings["retention.ms"] = "-1"
    assert ensure_topics(KafkaSettings(), LineSettings(), 7200) == []
    admin.hides = True
    assert ensure_topics(KafkaSettings(), LineSettings(), 7200) == []


def test_a_kafka_that_does_not_show_settings_keeps_no_worker_from_starting(admin: MemoryAdmin) -> None:
    admin.fault = PolicyViolationError("a long request")
    (line,) = ensure_topics(KafkaSettings(), LineSettings(), 3600)
    assert line == "whether topics keep their records long enough is not known: PolicyViolationError"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            InvalidReplicationFactorError("a long request"),
            "topic seen cannot be created: REPLICATION=3 asks for more brokers than Kafka has",
        ),
        (PolicyViolationError("a long request"), "Kafka does not create topic seen: PolicyViolationError"),
    ],
)
def test_a_topic_that_kafka_does_not_create_is_one_line(admin: MemoryAdmin, fault: KafkaError, said: str) -> None:
    del admin.topics["seen"]
    admin.fault = fault
    with pytest.raises(RefusedSetting) as refused:
        ensure_topics(KafkaSettings(), LineSettings(replication=3), 3600)
    assert refused.value.line == said


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"], ids=repr)
def test_a_password_that_cannot_be_read_for_a_moment_ends_no_worker_that_opens_a_partition(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    kafka = KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password_file=file)
    with pytest.raises(Lost, match="topic beacons cannot be described: setting KAFKA_SASL_PASSWORD_FILE="):
        topic_id_of(kafka, "beacons")
