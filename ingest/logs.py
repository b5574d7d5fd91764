"""Log lines to stderr, one a line, and never more than ten a second, whatever anybody sends."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from time import monotonic

LINES_PER_SECOND = 10


class AtMost(logging.Filter):
    """Lets so many lines a second pass and says with the next one how many it held back."""

    def __init__(self, lines: int, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._lines = lines
        self._clock = clock
        self._second = float("-inf")
        self._passed = 0
        self._held_back = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._passed = now, 0
        if self._passed >= self._lines:
            self._held_back += 1
            return False
        self._passed += 1
        record.held_back, self._held_back = self._held_back, 0
        return True


class _Line(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = repr(record.exc_info[1])
        held_back = getattr(record, "held_back", 0)
        if held_back:
            fields["held_back"] = str(held_back)
        if self._as_json:
            return json.dumps(fields)
        # Nothing that came from outside may begin a line of its own.
        return " ".join(fields.values()).encode("unicode_escape").decode()


def start(log_format: str) -> None:
    """Send all logging to stderr in this format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(log_format == "json"))
    handler.addFilter(AtMost(LINES_PER_SECOND))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
