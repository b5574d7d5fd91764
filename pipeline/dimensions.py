"""The values of an event's dimensions, as JSON texts that go into row keys as they are.

What a beacon says itself is read here; what has to be looked up (agents, addresses, pages, users) is read by an
Enrichment, so that this file needs no files and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import orjson

from pipeline.catalog import Dimension
from pipeline.forms import Values, picker
from pipeline.parameters import Line, base64_text, decoded, raw_bytes

MAX_VALUE_BYTES = 128
# What one memory holds of a partition's beacons, at most: about what 50,000 different ones of real players say. Who
# sends long ones on purpose makes them looked up more often, and nothing larger.
MAX_ANSWERS = 50_000
MAX_CHARACTERS = 16 << 20
# Longer than what any player says of agent, page and viewer together: not worth a place that others could have.
LONGEST = 4_096
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


# Sources that are looked up in files of the operator: who has only the beacon cannot tell.
FROM_FILES = frozenset({"address", "user"})
# The parameters that each source reads.
READ_BY = {"agent": (), "address": (), "referrer": ("referrer",), "user": ("userId", "ks")}


class Remembered(dict[_Asked, _Answer]):
    """A dict that forgets all it knows at a bound, of answers or of characters: what is asked again is found again.

    What is asked comes from anybody: a number of answers alone would bound no memory.
    """

    __slots__ = ("_characters", "_longest")

    def __init__(self, longest: int = LONGEST) -> None:
        """Know nothing yet; what is asked in more than `longest` characters is found out each time."""
        super().__init__()
        self._longest = longest
        self._characters = 0

    def remember(self, asked: _Asked, answer: _Answer) -> _Answer:
        """Return an answer, and keep it unless it was asked at length."""
        characters = _characters_of(asked)
        if characters <= self._longest:
            if len(self) >= MAX_ANSWERS or self._characters + characters > MAX_CHARACTERS:
                self.clear()
            self._characters += characters
            self[asked] = answer
        return answer

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._characters = 0


def _characters_of(asked: object) -> int:
    if isinstance(asked, str):
        return len(asked)
    return sum([len(text) for text in asked if text]) if isinstance(asked, tuple) else 0


def json_text(value: str) -> str:
    r"""Return a decoded value as JSON text, cut to its bound; a byte that is no UTF-8 becomes \xNN."""
    return orjson.dumps(raw_bytes(value)[:MAX_VALUE_BYTES].decode("utf-8", "backslashreplace")).decode()


def parameters_of_dimensions(dimensions: Sequence[Dimension]) -> tuple[str, ...]:
    """Return the parameters that these dimensions are read from."""
    own = [dimension.name for dimension in dimensions if dimension.source == "parameter"]
    sources = {dimension.source for dimension in dimensions} - {"parameter"}
    return tuple(dict.fromkeys((*own, *(name for source in sorted(sources) for name in READ_BY[source]))))


class DimensionReader:
    """Reads the dimensions beyond partner and entry.

    Attributes:
        read: (values, partner, line of an event) -> the dimensions' values, as JSON texts.
    """

    def __init__(self, dimensions: Sequence[Dimension], enrichment: Enrichment, names: Sequence[str]) -> None:
        """Read these, in this order; `names`: of an event's values, in order."""
        self._dimensions = tuple(dimensions)
        self._enrichment = enrichment
        self._sources = frozenset(dimension.source for dimension in dimensions)
        self._parameters = parameters_of_dimensions(dimensions)
        self._pick = picker([names.index(name) for name in self._parameters])
        self._is_looked_up = bool(self._sources - {"parameter"})
        self._version = enrichment.version if self._is_looked_up else 0
        self._known: Remembered[tuple[str | None, ...], tuple[str, ...]] = Remembered()
        self._dated: Remembered[tuple[str | None, ...], _DatedValues] = Remembered()
        # Viewers are many, their browsers, sites and kinds of playback few.
        self._json: Remembered[str, str] = Remembered(MAX_VALUE_BYTES)
        # Chosen once: only who asks for users pays for them.
        self.read: Callable[[Values, str, Line], tuple[str, ...]] = (
            self._read_dated if "user" in self._sources else self._read
        )

    def refresh(self) -> None:
        """Forget what was looked up in files that are others now."""
        if self._is_looked_up and self._enrichment.version != self._version:
            self._version = self._enrichment.version
            self._known.clear()
            self._dated.clear()

    def _read(self, values: Values, partner: str, line: Line) -> tuple[str, ...]:
        if not self._dimensions:
            return ()
        # Equal texts have equal values: one session's beacons are looked up once.
        asked = (partner, line.agent, line.agent64, line.address, *self._pick(values))
        known = self._known.get(asked)
        if known is None:
            known = self._known.remember(asked, self._texts(self._look_up(values, line)))
        return known

    def _read_dated(self, values: Values, partner: str, line: Line) -> tuple[str, ...]:
        """Read with users, whose KS expires: remembered is what holds before and after, not what holds now."""
        asked = (partner, line.agent, line.agent64, line.address, *self._pick(values))
        known = self._dated.get(asked)
        if known is None:
            found = self._look_up(values, line)
            user = self._enrichment.user(partner, found["userId"], found["ks"])
            before, after = (self._texts(found | {"user": one}) for one in (user.before, user.after))
            known = self._dated.remember(asked, (user.until_ms, before, after))
        return known[1] if line.time < known[0] else known[2]

    def _look_up(self, values: Values, line: Line) -> dict[str, str]:
        """Return all dimensions but the user."""
        said = zip(self._parameters, self._pick(values), strict=True)
        found = {name: decoded(value or "") for name, value in said}
        enrichment = self._enrichment
        if "agent" in self._sources:
            found |= enrichment.agent(line.agent if not line.agent64 else base64_text(line.agent64))
        if "address" in self._sources:
            found |= enrichment.address(line.address)
        if "referrer" in self._sources:
            found |= enrichment.referrer(found.pop("referrer"))
        return found

    def _texts(self, found: dict[str, str]) -> tuple[str, ...]:
        return tuple([self._text(found.get(dimension.name, "")) for dimension in self._dimensions])

    def _text(self, value: str) -> str:
        return self._json.get(value) or self._json.remember(value, json_text(value))
