"""What `make run` can be told, read once from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# Ours alone; every other variable of the environment is passed on to the processes.
OWN = ("KAFKA_PORT", "WORKERS", "PLAYERS")


class Settings(BaseSettings):
    """Ports, the folder of everything that is kept, and the number of workers."""

    model_config = SettingsConfigDict(frozen=True)

    ingest_host: str = "127.0.0.1"
    ingest_port: int = Field(default=8080, ge=1, le=65535)
    report_host: str = "127.0.0.1"
    report_port: int = Field(default=8081, ge=1, le=65535)
    kafka_port: int = Field(default=9092, ge=1, le=65535)
    workers: int = Field(default=2, ge=1, le=64)
    data_dir: Path = Path("var")

    def environment(self) -> dict[str, str]:
        """Return the environment that every process of the line gets."""
        kept = {name: value for name, value in os.environ.items() if name.upper() not in OWN}
        return kept | {
            "KAFKA_BOOTSTRAP": f"127.0.0.1:{self.kafka_port}",
            "DATA_DIR": str(self.data_dir.resolve()),
            "INGEST_HOST": self.ingest_host,
            "INGEST_PORT": str(self.ingest_port),
            "REPORT_HOST": self.report_host,
            "REPORT_PORT": str(self.report_port),
            "PYTHONUNBUFFERED": "1",
        }
