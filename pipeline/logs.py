"""How log lines look: console for people, JSON for collectors; both keep one event on one line."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

from ingest.logs import AtMost

# Of what is said of single beacons: a version that trips over one trips over many.
LINES_PER_SECOND = 10


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return (super().format(record) + _held_back(record)).replace("\n", " | ")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() + _held_back(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def _held_back(record: logging.LogRecord) -> str:
    number = getattr(record, "held_back", 0)
    return f" ({number} more lines were held back)" if number else ""


def set_up_logs(log_format: str) -> None:
    """Send log lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    console = _Console("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(_Json() if log_format == "json" else console)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("pipeline.partition").filters = [AtMost(LINES_PER_SECOND)]
    # The last is the class that stands in for Faust's consumer and logs like it.
    for chatty in ("faust", "mode", "aiokafka", "kafka", "pipeline.fetch"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
