"""The values of an event's dimensions, as JSON texts that go into row keys as they are.

What a beacon says itself is read here; what has to be looked up (agents, addresses, pages, users) is read by an
Enrichment, so that this file needs no files and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import orjson

from pipeline.catalog import Dimension
from pipeline.parameters import Line, base64_text, decoded, raw_bytes

MAX_VALUE_BYTES = 128
# What is remembered of a partition's beacons, at most: about what 50,000 different ones of real players say. Who
# sends long ones on purpose makes them looked up more often, and nothing larger.
MAX_CHARACTERS = 16 << 20
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")
# The moment, the values before it, the values from it on.
_DatedValues = tuple[int, tuple[str, ...], tuple[str, ...]]


class Dated(NamedTuple):
    """A value that ends at a moment: which of two is right depends on when ingest received the beacon alone.

    Attributes:
        before: the value of beacons received before the moment.
        until_ms: the moment, Unix milliseconds.
        after: the value of all others.
    """

    before: str
    until_ms: int
    after: str


class Enrichment(Protocol):
    """What gives looked-up dimensions, by dimension name. None of them raises.

    Attributes:
        version: another number once the files behind the answers are others; what was answered before is stale.
    """

    version: int

    def refresh(self) -> None:
        """Read the files behind the answers again, where they changed."""

    def agent(self, agent: str) -> dict[str, str]:
        """Return device, operatingSystem, browser and bot of a User-Agent."""

    def referrer(self, referrer: str) -> dict[str, str]:
        """Return domain and page of the decoded referrer parameter."""

    def address(self, address: str) -> dict[str, str]:
        """Return country, region, city and network of a (cut) address."""

    def user(self, partner: str, user_id: str, ks: str) -> Dated:
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
    """Reads the dimensions beyond partner and entry.

    Attributes:
        read: (raw parameters, partner, line of an event) -> the values, as JSON texts.
    """

    def __init__(self, dimensions: Sequence[Dimension], enrichment: Enrichment) -> None:
        """Read these, in this order."""
        self._dimensions = tuple(dimensions)
        self._enrichment = enrichment
        self._sources = frozenset(dimension.source for dimension in dimensions)
        own = [dimension.name for dimension in dimensions if dimension.source == "parameter"]
        read = [name for source in sorted(self._sources - {"parameter"}) for name in READ_BY[source]]
        self.parameters: tuple[str, ...] = tuple(dict.fromkeys((*own, *read)))
        self._is_looked_up = bool(self._sources - {"parameter"})
        self._version = enrichment.version if self._is_looked_up else 0
        self._known: Remembered[tuple[str, ...], tuple[str, ...]] = Remembered()
        self._dated: Remembered[tuple[str, ...], _DatedValues] = Remembered()
        self._characters = 0
        # Chosen once: only who asks for users pays for them.
        self.read: Callable[[dict[str, str], str, Line], tuple[str, ...]] = (
            self._read_dated if "user" in self._sources else self._read
        )

    def refresh(self) -> None:
        """Forget what was looked up in files that are others now."""
        if self._is_looked_up and self._enrichment.version != self._version:
            self._version = self._enrichment.version
            self._forget()

    def _read(self, found: dict[str, str], partner: str, line: Line) -> tuple[str, ...]:
        if not self._dimensions:
            return ()
        get = found.get
        # Equal texts have equal values: one session's beacons are looked up once.
        asked = (partner, line.agent, line.agent64, line.address, *[get(name, "") for name in self.parameters])
        known = self._known.get(asked)
        if known is None:
            values = self._look_up(found, line)
            self._make_room(asked)
            known = self._known.remember(asked, self._texts(values))
        return known

    def _read_dated(self, found: dict[str, str], partner: str, line: Line) -> tuple[str, ...]:
        """Read with users, whose KS expires: remembered is what holds before and after, not what holds now."""
        get = found.get
        asked = (partner, line.agent, line.agent64, line.address, *[get(name, "") for name in self.parameters])
        known = self._dated.get(asked)
        if known is None:
            values = self._look_up(found, line)
            user = self._enrichment.user(partner, values["userId"], values["ks"])
            before, after = (self._texts(values | {"user": one}) for one in (user.before, user.after))
            self._make_room(asked)
            known = self._dated.remember(asked, (user.until_ms, before, after))
        return known[1] if line.time < known[0] else known[2]

    def _look_up(self, found: dict[str, str], line: Line) -> dict[str, str]:
        """Return all values but the user's."""
        values = {name: decoded(found.get(name, "")) for name in self.parameters}
        enrichment = self._enrichment
        if "agent" in self._sources:
            values |= enrichment.agent(line.agent if not line.agent64 else base64_text(line.agent64))
        if "address" in self._sources:
            values |= enrichment.address(line.address)
        if "referrer" in self._sources:
            values |= enrichment.referrer(values.pop("referrer"))
        return values

    def _texts(self, values: dict[str, str]) -> tuple[str, ...]:
        return tuple(json_text(values.get(dimension.name, "")) for dimension in self._dimensions)

    def _make_room(self, asked: tuple[str, ...]) -> None:
        self._characters += sum(map(len, asked))
        if self._characters > MAX_CHARACTERS:
            self._forget()
            self._characters = sum(map(len, asked))

    def _forget(self) -> None:
        self._known.clear()
        self._dated.clear()
        self._characters = 0
