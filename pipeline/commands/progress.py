"""A progress bar over offsets, on standard error, where a person looks; nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

import click
from confluent_kafka import Message

from pipeline.commands.broker import Offsets


class Progress:
    """Moves as records are read from `begin` to `end`, with the time that is left."""

    def __init__(self, label: str, begin: Offsets, end: Offsets) -> None:
        self._at = dict(begin)
        length = sum(max(0, end[part] - begin[part]) for part in begin if part in end)
        self._bar: Any = click.progressbar(
            length=length, label=label, file=sys.stderr, show_eta=True, hidden=not sys.stderr.isatty()
        )

    def __enter__(self) -> Progress:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def read(self, messages: list[Message]) -> None:
        """Move by what was read; offsets that are no more (markers, what retention or compaction took) count too."""
        newest: Offsets = {}
        for message in messages:
            newest[message.partition()] = message.offset() + 1
        self.reach(newest)

    def reach(self, at: Offsets) -> None:
        """Move to these offsets."""
        before = sum(self._at.values())
        self._at |= {part: max(offset, self._at.get(part, 0)) for part, offset in at.items()}
        self._bar.update(sum(self._at.values()) - before)
