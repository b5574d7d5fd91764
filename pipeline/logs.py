"""How log lines look: console for people, JSON for collectors; both keep one event on one line."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def set_up_logs(log_format: str) -> None:
    """Send log lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    console = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(_Json() if log_format == "json" else console)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # The last is the class that stands in for Faust's consumer and logs like it.
    for chatty in ("faust", "mode", "aiokafka", "kafka", "pipeline.fetch"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
