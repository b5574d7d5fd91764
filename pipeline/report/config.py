"""The report's own settings: read once from the environment, frozen, units in names."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ReportSettings(BaseSettings):
    """Names in the environment start with REPORT_; an unknown one refuses to start."""

    model_config = SettingsConfigDict(env_prefix="REPORT_", frozen=True)

    host: str = Field("127.0.0.1", description="other than loopback only with REPORT_KEYS")
    port: int = Field(8081, ge=0, le=65535, description="0: any free one")
    store: Path | None = Field(None, description="SQLite file; default DATA_DIR/report/report.sqlite")
    keys: Path | None = Field(None, description="key file; unset: everybody on this machine sees everything")
    assets: Path | None = Field(None, description="folder of the page's chart library, served at /vendor/")
    session_key: Path | None = Field(None, description="signs sessions; default beside the store")
    session_hours: int = Field(12, ge=1, description="a browser session ends after this")
    public_origin: str = Field("", description="https://host that browsers see; makes cookies Secure")
    readers: int = Field(6, ge=1, le=64, description="threads that read the store; more than two keys may fill")
    deadline_ms: int = Field(5000, ge=100, description="a query that takes longer is refused (422)")
    concurrent_per_key: int = Field(2, ge=1, description="queries of one key read at a time; more wait")
    waiting_per_key: int = Field(32, ge=0, description="queries of one key that may wait; more get 429")
    rate_per_second: int = Field(200, ge=1, description="requests of one key a second, lasting")
    rate_burst: int = Field(1000, ge=1, description="requests of one key at once")
    failures_per_minute: int = Field(10, ge=1, description="wrong keys from one address; more get 429")
    live_per_key: int = Field(200, ge=1, description="open /v1/live streams of one key")
    live_readers: int = Field(2000, ge=1, description="open /v1/live streams, all keys")
    live_every_ms: int = Field(500, ge=50, description="least time between two events of a stream")
    heartbeat_s: int = Field(15, ge=1, description="longest silence of a stream")
    cache_mib: int = Field(64, ge=1, description="memory for answers")
    scans: int = Field(2, ge=0, le=16, description="/v1/events: numbers explained at a time, all keys; 0: none is")
    scan_beacons: int = Field(500_000, ge=1000, description="/v1/events: beacons of the topic read for one answer")
    scan_deadline_ms: int = Field(10_000, ge=100, description="/v1/events: a scan that takes longer is cut")
