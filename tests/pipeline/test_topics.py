"""The topics of a line: their settings are what the design's guarantees rest on."""

from __future__ import annotations

from pipeline.changelog import Topics
from pipeline.config import LineSettings
from pipeline.topics import topic_plans

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
