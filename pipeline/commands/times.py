"""Instants as operators write and read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

# Digits above this are milliseconds: as seconds it is the year 5138, as milliseconds 1973.
MOST_SECONDS = 10**11


def shown(time_ms: int) -> str:
    """Return an instant (Unix ms) for people, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def age(time_ms: int, now_ms: int) -> str:
    """Return how long ago an instant is, for people."""
    seconds = max(0.0, (now_ms - time_ms) / 1000)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.1f} s ago"


def read_time(text: str) -> int:
    """Return an instant as Unix seconds, from Unix seconds, Unix ms or ISO 8601 (UTC where no zone is said).

    Raises:
        ValueError: it is none of these.
    """
    if text.isdigit() and text.isascii():
        number = int(text)
        if number > MOST_SECONDS * 1000:
            raise ValueError("no time")
        return number // 1000 if number > MOST_SECONDS else number
    instant = datetime.fromisoformat(text)
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


class Instant(click.ParamType):
    """An instant of the command line, as Unix seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it as Unix seconds."""
        try:
            return value if isinstance(value, int) else read_time(value)
        except ValueError:
            self.fail(f"{value!r} is neither Unix seconds nor ISO 8601, like 2026-11-23T10:00:00Z", param, ctx)


INSTANT = Instant()
