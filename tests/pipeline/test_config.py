"""Settings: read once, refused by name, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.app import rules_of
from pipeline.catalog import SETS, WINDOWS
from pipeline.chosen import GROUPS, KNOWN
from pipeline.config import KafkaSettings, LineSettings, RefusedSetting, WorkerSettings, read_settings
from pipeline.windows import Shape


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORKER_ID": "w7", "WORKER_CHECKPOINT_MS": "250", "PARTITIONS": "3", "DATA_DIR": "/x"}.items():
        monkeypatch.setenv(name, value)
    worker, line = read_settings(WorkerSettings), read_settings(LineSettings)
    assert (worker.id, worker.checkpoint_ms, line.partitions, line.data_dir) == ("w7", 250, 3, Path("/x"))


def test_a_name_with_a_typo_is_refused_with_the_nearest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DEDUPE_HORIZON", "60")
    with pytest.raises(RefusedSetting) as refused:
        read_settings(WorkerSettings)
    assert refused.value.line == "unknown setting WORKER_DEDUPE_HORIZON; did you mean WORKER_DEDUPE_HORIZON_S?"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_CHECKPOINT_MS", "49"),
        ("WORKER_CHECKPOINT_MS", "soon"),
        ("WORKER_DEDUPE_BY", "session"),
        ("WORKER_PORT", "65536"),
        ("WORKER_DEDUPE_HORIZON_S", ""),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RefusedSetting) as refused:
        read_settings(KafkaSettings if name.startswith("KAFKA") else WorkerSettings)
    assert refused.value.line.startswith(f"setting {name}={value!r}: ")
    assert "\n" not in refused.value.line


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        WorkerSettings().id = "other"


def test_a_plain_kafka_needs_an_address_only() -> None:
    assert KafkaSettings(bootstrap="k:9").librdkafka() == {"bootstrap.servers": "k:9"}


def test_a_secured_kafka_gets_password_and_certificates(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("pa ss\nnever this line\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL", sasl_username="worker", sasl_password_file=secret, ca_file=tmp_path / "ca.pem"
    )
    assert kafka.librdkafka() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "worker",
        "sasl.password": "pa ss",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
    }
    assert "pa ss" not in repr(kafka)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: [Errno 2]"),
        (b"\xff", "cannot be read: "),
        (b"", "its first"),
        (b"\nword\n", "its first"),
    ],
)
def test_a_password_file_without_a_password_is_refused_in_one_line(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RefusedSetting) as refused:
        KafkaSettings(security_protocol="SASL_SSL", sasl_password_file=file).librdkafka()
    assert refused.value.line.startswith(f"setting KAFKA_SASL_PASSWORD_FILE={str(file)!r}")
    assert said in refused.value.line and "\n" not in refused.value.line


def test_a_line_may_keep_part_of_the_catalog() -> None:
    rules = rules_of(LineSettings(partitions=4), WorkerSettings(windows="1h, 10s", sets="entry", dedupe_by="pair"))
    shape = Shape.of((WINDOWS[0], WINDOWS[2]), SETS[1:2])
    kept = (rules.shape, rules.by_pair, rules.dedupe_horizon_s, rules.max_entries, rules.cache_rows)
    assert kept == (shape, True, 86_400, 50_000, 50_000)
    assert rules_of(LineSettings(), WorkerSettings()).shape == Shape.of(WINDOWS, SETS)


@pytest.mark.parametrize(
    ("sets", "lines"), [("", 0), ("partner,entry", 0), ("original,partner", 0), ("entry", 1), ("country,device", 1)]
)
def test_sets_without_the_one_that_bounds_the_others_are_said_in_one_line(
    sets: str, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    rules_of(LineSettings(), WorkerSettings(sets=sets))
    said = [record.getMessage() for record in caplog.records if "WORKER_MAX_ENTRIES" in record.getMessage()]
    assert len(said) == lines
    assert all("add partner" in line and "\n" not in line for line in said)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"windows": "10s,5s"}, "WORKER_WINDOWS: '5s' is not in the catalog: 10s, 1m, 1h"),
        ({"sets": "planet"}, f"WORKER_SETS: 'planet' is not in the catalog: {', '.join((*KNOWN, *GROUPS))}"),
    ],
)
def test_a_part_that_is_not_in_the_catalog_is_refused(setting: dict[str, str], line: str) -> None:
    with pytest.raises(RefusedSetting) as refused:
        rules_of(LineSettings(), WorkerSettings(**setting))
    assert refused.value.line == line
