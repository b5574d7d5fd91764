"""Token buckets: how often one key may ask, and one address be wrong."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a bucket says.

    Attributes:
        allowed: it may go on.
        remaining: how many more may at once.
        wait_seconds: until the next one may, if it may not.
    """

    allowed: bool
    remaining: int
    wait_seconds: float


class Buckets:
    """One bucket a name; those that are full again are forgotten first."""

    def __init__(self, per_second: float, burst: int, most_names: int = 10_000) -> None:
        self.per_second = per_second
        self.burst = burst
        self._most = most_names
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def look(self, name: str, now: float) -> Verdict:
        """Tell what would be said, without taking anything."""
        return self._say(self._level(name, now))

    def take(self, name: str, now: float) -> Verdict:
        """Take one, if there is one."""
        level = self._level(name, now)
        if level < 1:
            return self._say(level)
        self._left[name] = (level - 1, now)
        self._left.move_to_end(name)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return Verdict(True, int(level - 1), 0.0)

    def _level(self, name: str, now: float) -> float:
        left, since = self._left.get(name, (float(self.burst), now))
        return min(float(self.burst), left + (now - since) * self.per_second)

    def _say(self, level: float) -> Verdict:
        allowed = level >= 1
        return Verdict(allowed, int(level), 0.0 if allowed else (1 - level) / self.per_second)
