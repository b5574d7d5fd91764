"""Every setting of ingest: read once from the environment, checked, then frozen; units are in the names."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.address import networks

# Set by the parent for its children only (supervisor.py): the number of the child, and the process id of the parent.
CHILD_VARIABLE = "INGEST_CHILD"


class WrongSetting(Exception):
    """A setting can not be used: print the one line and exit."""


class Config(BaseSettings):
    """The settings; the environment variable is the field's name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: str = ""
    kafka_sasl_username: str = ""
    kafka_sasl_password_file: Path | None = None
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None
    # Prepended to every topic, so that several lines can share a broker.
    topic_prefix: str = ""
    # Of topic `beacons`; fixed for the life of the state.
    partitions: int = Field(default=8, ge=1, le=65535)
    data_dir: Path = Path("var")
    log_format: Literal["console", "json"] = "console"

    ingest_host: str = "127.0.0.1"
    # 0: any free port, named in the start line.
    ingest_port: int = Field(default=8080, ge=0, le=65535)
    # The same pages on a port of each process's own, this one and those above it, where they are answered also when
    # players hold all INGEST_CONNECTIONS; 0: only on INGEST_PORT.
    ingest_admin_port: int = Field(default=0, ge=0, le=65535)
    # Processes on that one port, each with a spool folder of its own.
    ingest_processes: int = Field(default=1, ge=1, le=256)
    # Name of this ingest in topic `ingests`; empty: one is drawn and kept in the spool folder.
    ingest_id: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")

    # A record of `beacons` leaves at this many bytes or beacons, or at this age; at little load at once.
    ingest_pack_kib: int = Field(default=64, ge=1, le=256)
    ingest_pack_beacons: int = Field(default=50, ge=1)
    ingest_linger_ms: float = Field(default=20, ge=0, le=200)
    ingest_compression: Literal["none", "lz4", "zstd"] = "lz4"
    # The ladder: acknowledged by Kafka within the first, else the spool; some answer within the second.
    ingest_kafka_ms: int = Field(default=300, ge=10)
    ingest_answer_ms: int = Field(default=900, ge=20)

    # Empty: DATA_DIR/spool.
    ingest_spool_dir: Path | None = None
    # Over all processes of this ingest.
    ingest_spool_max_mib: int = Field(default=2048, ge=1)
    ingest_spool_min_free_mib: int = Field(default=64, ge=0)
    ingest_spool_segment_kib: int = Field(default=16384, ge=64)
    # How fast a spool is emptied beside live traffic.
    ingest_drain_kib_per_second: int = Field(default=16384, ge=64)

    # 16 KiB lines: ks and referrer make some real ones longer than the usual 8 KiB.
    ingest_line_bytes: int = Field(default=16384, ge=1024)
    ingest_header_bytes: int = Field(default=32768, ge=1024)
    ingest_body_bytes: int = Field(default=262144, ge=1024, le=262144)
    ingest_header_seconds: float = Field(default=10, gt=0)
    ingest_body_seconds: float = Field(default=5, gt=0)
    ingest_idle_seconds: float = Field(default=75, gt=0)
    # The next three are per process; connections are those of INGEST_PORT.
    ingest_connections: int = Field(default=10000, ge=1)
    ingest_waiting_mib: int = Field(default=32, ge=1)
    ingest_queue_mib: int = Field(default=32, ge=1)

    # CIDRs, comma separated: whose X-Forwarded-For is believed.
    ingest_trusted_proxies: str = ""
    # What is kept of a client's address: its /24 or /48, or all of it.
    ingest_address: Literal["network", "full"] = "network"
    # After SIGTERM, how long to say "not ready" before the port closes, for a slow load balancer.
    ingest_stop_delay_seconds: float = Field(default=0, ge=0, le=10)

    @field_validator("ingest_trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        networks(value)
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.ingest_answer_ms <= self.ingest_kafka_ms:
            raise ValueError("INGEST_ANSWER_MS must be more than INGEST_KAFKA_MS")
        if self.ingest_processes > 1 and self.ingest_port == 0:
            raise ValueError("INGEST_PORT=0 goes with INGEST_PROCESSES=1 only: the processes share one port")
        return self

    @property
    def spool_dir(self) -> Path:
        """The folder of all spool folders."""
        return self.ingest_spool_dir or self.data_dir / "spool"

    def topic(self, name: str) -> str:
        """Return the topic's full name."""
        return self.topic_prefix + name


def read(environment: Mapping[str, str]) -> Config:
    """Return the settings of the environment; what is unknown or unusable raises WrongSetting."""
    known = {name.upper() for name in Config.model_fields}
    for name in sorted(environment):
        if name.startswith("INGEST_") and name not in known and name != CHILD_VARIABLE:
            near = difflib.get_close_matches(name, known, 1, 0)[0]
            raise WrongSetting(f"{name} is no setting of ingest; the nearest one is {near}")
    try:
        return Config()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise WrongSetting(f"{name}: {first['msg']}" if name else first["msg"]) from error


def from_environment() -> Config:
    """Return the settings of this process."""
    return read(os.environ)
