"""Every setting of worker, probe, topics and commands: read once from the environment, frozen, units in names."""

from __future__ import annotations

import difflib
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class RefusedSetting(SystemExit):
    """The operator must change a setting: the process ends with status 2 and one line that says which."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line


class KafkaSettings(BaseSettings):
    """How every client reaches Kafka; names in the environment start with KAFKA_."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True)

    bootstrap: str = Field("127.0.0.1:9092", description="host:port[,host:port]")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password_file: Path | None = Field(None, description="file whose first line is the password")
    ca_file: Path | None = Field(None, description="PEM of the brokers' certificate authority")
    cert_file: Path | None = Field(None, description="PEM of our certificate, for mTLS")
    key_file: Path | None = Field(None, description="PEM of our key, for mTLS")

    def password(self) -> str:
        """Return the SASL password ("" without a file).

        Raises:
            RefusedSetting: the file cannot be read, or has no password in its first line.
        """
        file = self.sasl_password_file
        if file is None:
            return ""
        try:
            password = next(iter(file.read_text().splitlines()), "")
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedSetting(f"setting KAFKA_SASL_PASSWORD_FILE={str(file)!r} cannot be read: {error}") from error
        if not password:
            raise RefusedSetting(f"setting KAFKA_SASL_PASSWORD_FILE={str(file)!r}: its first line must be the password")
        return password

    def tls(self) -> ssl.SSLContext | None:
        """Return how aiokafka speaks TLS; None where it does not."""
        if not self.security_protocol.endswith("SSL"):
            return None
        # Without a CA file the system's authorities are trusted; names are always checked.
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def librdkafka(self) -> dict[str, Any]:
        """Return the connection part of a librdkafka configuration."""
        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        if self.security_protocol != "PLAINTEXT":
            settings["security.protocol"] = self.security_protocol
        if self.security_protocol.startswith("SASL"):
            settings |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.password(),
            }
        for key, file in (
            ("ssl.ca.location", self.ca_file),
            ("ssl.certificate.location", self.cert_file),
            ("ssl.key.location", self.key_file),
        ):
            if file is not None:
                settings[key] = str(file)
        return settings


class LineSettings(BaseSettings):
    """What all processes of one line share."""

    model_config = SettingsConfigDict(frozen=True)

    topic_prefix: str = Field("", description="put before every topic, group and transactional id")
    state_prefix: str | None = Field(
        None,
        description="in place of TOPIC_PREFIX before all but beacons and ingests: a second state of the same beacons",
    )
    partitions: int = Field(8, ge=1, description="of every topic; fixed for the life of the state")
    replication: int = Field(1, ge=1, description="copies of every topic; 3 on a real cluster")
    data_dir: Path = Path("var")
    log_format: Literal["console", "json"] = "console"

    @property
    def state(self) -> str:
        """Return what stands before the state topics, the group and the transactional ids."""
        return self.topic_prefix if self.state_prefix is None else self.state_prefix


class WorkerSettings(BaseSettings):
    """The worker's own settings; names in the environment start with WORKER_."""

    model_config = SettingsConfigDict(env_prefix="WORKER_", frozen=True)

    id: str = Field("worker", description="distinct per worker; names its state folder")
    state_dir: Path | None = Field(None, description="RocksDB files; default DATA_DIR/state/<id>")
    host: str = Field("127.0.0.1", description="where /health, /ready and /metrics listen")
    port: int = Field(0, ge=0, le=65535, description="of /health, /ready and /metrics; 0: none")
    checkpoint_ms: int = Field(1000, ge=50, description="between two checkpoints of a partition")
    checkpoint_cells: int = Field(
        20_000, ge=1, description="changed cells that force a checkpoint; 16 marks or 1 kB of dead letters are one"
    )
    dedupe_by: Literal["segment", "pair"] = "segment"
    dedupe_horizon_s: int = Field(86_400, ge=60, description="a repeat later than this counts again")
    max_entries: int = Field(
        50_000, ge=1, description="rows of a set per partner, window and partition; needs set partner"
    )
    cache_rows: int = Field(200_000, ge=1000, description="rows kept decoded in memory, whole worker")
    session_timeout_ms: int = Field(6_000, ge=6000, description="silence after which others take over")
    standby: int = Field(
        1, ge=0, description="copies of a partition kept warm on other workers, as far as there are others; 0: none"
    )
    even_out_s: int = Field(
        60, ge=1, description="after which what a loss left uneven is shared again; copies should be warm by then"
    )
    instance_id: str = Field("", description="static group membership: set it, and a restart moves nothing")
    places_file: Path | None = Field(None, description="MaxMind-format file of countries, regions, cities")
    networks_file: Path | None = Field(None, description="MaxMind-format file of autonomous systems")
    user_key_file: Path | None = Field(
        None, description="its bytes key the hash that a user is kept as; none: every viewer is anonymous"
    )
    ks_secrets_file: Path | None = Field(
        None, description='JSON of partner ids and secrets, {"ID": "SECRET" or [...]}; a KS signed with one is believed'
    )
    users: Literal["claimed", "verified"] = Field(
        "claimed", description="claimed: a userId counts where no valid KS names a user; verified: only a KS does"
    )
    windows: str = Field("", description="comma-separated part of the catalog's windows; empty: all")
    metrics: str = Field("", description="comma-separated part of the catalog's metrics; empty: all")
    sets: str = Field("", description="comma-separated sets, `default` or `original`; empty: default; the report's too")


class ProbeSettings(BaseSettings):
    """The correctness probe's own settings; names in the environment start with PROBE_."""

    model_config = SettingsConfigDict(env_prefix="PROBE_", frozen=True)

    ingest_url: str = Field("http://127.0.0.1:8080", description="where players send to, as they do")
    report_url: str = Field("http://127.0.0.1:8081", description="where dashboards ask, as they do")
    key_file: Path | None = Field(None, description="the report's key, where it asks for one")
    partner: str = Field("999999999", pattern=r"^[1-9][0-9]{0,8}$", description="partnerId that nobody else has")
    name: str = Field(
        "probe", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="distinct per probe; its entries begin with it"
    )
    deadline_s: int = Field(30, ge=1, le=50, description="from the last 200 to a report that has the set")
    host: str = Field("127.0.0.1", description="where /health, /ready and /metrics listen")
    port: int = Field(0, ge=0, le=65535, description="of /health, /ready and /metrics; 0: none")


def read_settings(kind: type[Any], environment: Mapping[str, str] | None = None) -> Any:
    """Return the settings of one kind from the environment.

    Raises:
        RefusedSetting: a name with this kind's prefix is unknown (the nearest known one is named), or a
            value does not fit. A typo must not run with a default in silence.
    """
    environment = os.environ if environment is None else environment
    prefix = str(kind.model_config.get("env_prefix") or "")
    known = {prefix + name.upper() for name in kind.model_fields}
    if prefix:
        for name in environment:
            if name.startswith(prefix) and name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise RefusedSetting(f"unknown setting {name}{hint}")
    try:
        return kind()
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = prefix + str(first["loc"][0]).upper()
        raise RefusedSetting(f"setting {name}={environment.get(name, '')!r}: {first['msg']}") from wrong
