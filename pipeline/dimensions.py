"""The values of an event's dimensions, as JSON texts that go into row keys as they are.

What a beacon says itself is read here; what has to be looked up (agents, addresses, pages, users) is read by an
Enrichment, so that this file needs no files and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import orjson

from pipeline.catalog import Dimension
from pipeline.parameters import Line, base64_text, decoded, raw_bytes

MAX_VALUE_BYTES = 128
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


class Enrichment(Protocol):
    """What gives looked-up dimensions; each returns values by dimension name. None of them raises."""

    def agent(self, agent: str) -> dict[str, str]:
        """Return device, operatingSystem, browser and bot of a User-Agent."""

    def referrer(self, referrer: str) -> dict[str, str]:
        """Return domain and page of the decoded referrer parameter."""

    def address(self, address: str) -> dict[str, str]:
        """Return country, region, city and network of a (cut) address."""

    def user(self, partner: str, user_id: str, ks: str, time_ms: int) -> dict[str, str]:
        """Return the user, a keyed hash; empty for anonymous."""


# The parameters that each source reads.
READ_BY = {"agent": (), "address": (), "referrer": ("referrer",), "user": ("userId", "ks")}


class Remembered(dict[_Asked, _Answer]):
    """A dict that forgets all it knows at a bound: what is asked again is found out again."""

    __slots__ = ()

    def remember(self, asked: _Asked, answer: _Answer) -> _Answer:
        """Keep an answer and return it."""
        if len(self) >= 50_000:
            self.clear()
        self[asked] = answer
        return answer


def json_text(value: str) -> str:
    r"""Return a decoded value as JSON text, cut to its bound; a byte that is no UTF-8 becomes \xNN."""
    return orjson.dumps(raw_bytes(value)[:MAX_VALUE_BYTES].decode("utf-8", "backslashreplace")).decode()


class DimensionReader:
    """Reads the dimensions beyond partner and entry."""

    def __init__(self, dimensions: Sequence[Dimension], enrichment: Enrichment) -> None:
        """Read these, in this order."""
        self._dimensions = tuple(dimensions)
        self._enrichment = enrichment
        self._sources = frozenset(dimension.source for dimension in dimensions)
        own = [dimension.name for dimension in dimensions if dimension.source == "parameter"]
        read = [name for source in sorted(self._sources - {"parameter"}) for name in READ_BY[source]]
        self.parameters: tuple[str, ...] = tuple(dict.fromkeys((*own, *read)))
        self._known: Remembered[tuple[str, ...], tuple[str, ...]] = Remembered()

    def read(self, found: dict[str, str], partner: str, line: Line) -> tuple[str, ...]:
        """Return the values, as JSON texts, of an event with these raw parameters."""
        if not self._dimensions:
            return ()
        get = found.get
        # Equal texts have equal values: one session's beacons are looked up once.
        asked = (partner, line.agent, line.agent64, line.address, *[get(name, "") for name in self.parameters])
        return self._known.get(asked) or self._known.remember(asked, self._look_up(found, partner, line))

    def _look_up(self, found: dict[str, str], partner: str, line: Line) -> tuple[str, ...]:
        values = {name: decoded(found.get(name, "")) for name in self.parameters}
        enrichment = self._enrichment
        if "agent" in self._sources:
            values |= enrichment.agent(line.agent if not line.agent64 else base64_text(line.agent64))
        if "address" in self._sources:
            values |= enrichment.address(line.address)
        if "referrer" in self._sources:
            values |= enrichment.referrer(values.pop("referrer"))
        if "user" in self._sources:
            values |= enrichment.user(partner, values["userId"], values["ks"], line.time)
        return tuple(json_text(values.get(dimension.name, "")) for dimension in self._dimensions)
