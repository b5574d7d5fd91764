"""Whether a process would start with the settings that a file of deploy/ gives it, by its own reading of them."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import patch

from ingest import config as ingest_config
from pipeline.config import KafkaSettings, LineSettings, ProbeSettings, WorkerSettings, read_settings
from pipeline.report.config import ReportSettings

KINDS = {
    "worker": (KafkaSettings, LineSettings, WorkerSettings),
    "report": (KafkaSettings, LineSettings, ReportSettings, WorkerSettings),
    "topics": (KafkaSettings, LineSettings, WorkerSettings),
    "probe": (LineSettings, WorkerSettings, ProbeSettings),
    "keys": (),
}
SHARED = {"DATA_DIR", "LOG_FORMAT", "PYTHONUNBUFFERED"}


def start(role: str, environment: Mapping[str, str]) -> None:
    """Read the settings as the role's process does; what it refuses raises, and so does a name that nobody reads."""
    fields = {name.upper() for name in ingest_config.Config.model_fields}
    with patch.dict("os.environ", dict(environment), clear=True):
        if role == "ingest":
            ingest_config.from_environment()
        for kind in KINDS.get(role, ()):
            read_settings(kind)
            fields |= {f"{kind.model_config.get('env_prefix') or ''}{name}".upper() for name in kind.model_fields}
    unread = environment.keys() - fields - SHARED - {"REPLICATION"}
    assert not unread, f"{role} is given {sorted(unread)}, which nobody reads"
