"""What was sent per entry, so that anybody can compare it with the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Sent:
    """What one entry must count: events answered 200, each once, however often it was sent."""

    plays: int = 0
    views: int = 0
    buffer_ms: int = 0
    again: int = 0
    unanswered: int = 0


@dataclass(slots=True)
class Tally:
    """All entries of all partners."""

    entries: dict[tuple[str, str], Sent] = field(default_factory=dict)
    beacons: int = 0

    def answered(self, partner: str, entry: str, kind: int, buffer_ms: int) -> None:
        """Note an event that was answered 200."""
        sent = self._of(partner, entry)
        self.beacons += 1
        sent.plays += kind == 3
        if kind == 99:
            sent.views += 1
            sent.buffer_ms += buffer_ms

    def again(self, partner: str, entry: str) -> None:
        """Note the same request sent once more."""
        self._of(partner, entry).again += 1

    def unanswered(self, partner: str, entry: str) -> None:
        """Note an event without a 200: it may be counted or not."""
        self._of(partner, entry).unanswered += 1

    def lines(self) -> Iterator[str]:
        """Yield a table, the most played first."""
        yield f"{'partner':>8} {'entry':<14} {'plays':>7} {'views':>8} {'buffer s':>10} {'again':>6} {'no 200':>6}"
        for (partner, entry), sent in sorted(self.entries.items(), key=lambda pair: -pair[1].plays):
            yield _line(partner, entry, sent)
        yield _line("", "all", self.total())

    def total(self) -> Sent:
        """Return all entries together."""
        every = self.entries.values()
        return Sent(
            sum(sent.plays for sent in every),
            sum(sent.views for sent in every),
            sum(sent.buffer_ms for sent in every),
            sum(sent.again for sent in every),
            sum(sent.unanswered for sent in every),
        )

    def _of(self, partner: str, entry: str) -> Sent:
        return self.entries.setdefault((partner, entry), Sent())


def _line(partner: str, entry: str, sent: Sent) -> str:
    numbers = f"{sent.plays:>7} {sent.views:>8} {sent.buffer_ms / 1000:>10.3f} {sent.again:>6} {sent.unanswered:>6}"
    return f"{partner:>8} {entry:<14} {numbers}"
