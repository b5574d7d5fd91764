"""Settings are read once, and what can not be used is one line with the name in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.config import WrongSetting, read


def read_with(monkeypatch: pytest.MonkeyPatch, **environment: str) -> object:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return read(environment)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_with(monkeypatch, DATA_DIR="/d", TOPIC_PREFIX="t.", INGEST_PORT="0", PARTITIONS="3")
    assert (config.spool_dir, config.topic("beacons"), config.ingest_port, config.partitions) == (
        Path("/d/spool"),
        "t.beacons",
        0,
        3,
    )


def test_an_unknown_setting_names_the_nearest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongSetting) as refusal:
        read_with(monkeypatch, INGEST_PROT="1")
    assert str(refusal.value) == "INGEST_PROT is no setting of ingest; the nearest one is INGEST_PORT"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INGEST_PORT", "70000"),
        ("PARTITIONS", "0"),
        ("INGEST_COMPRESSION", "gzip"),
        ("INGEST_TRUSTED_PROXIES", "nobody"),
        ("INGEST_ID", "a b"),
        ("INGEST_ADDRESS", "none"),
    ],
)
def test_a_value_that_can_not_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(WrongSetting, match=f"^{name}: [^\n]+$"):
        read_with(monkeypatch, **{name: value})


def test_the_answer_must_come_after_kafka_had_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongSetting, match="INGEST_ANSWER_MS must be more than INGEST_KAFKA_MS"):
        read_with(monkeypatch, INGEST_KAFKA_MS="900", INGEST_ANSWER_MS="900")
