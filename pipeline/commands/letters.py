"""Dead letters as topic `rejected` holds them, each once, and which of them can be read now. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from ingest.beacon import Beacon
from ingest.wire import UnreadableLine, decode
from pipeline.event import read_event
from pipeline.parameters import Rejected


class NoLetter(Exception):
    """This is no dead letter: leave it out, and say so."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A line that could not be counted.

    Attributes:
        reason: why. partition, offset, line: its place in topic `beacons`.
        raw: the line as it came, or as it was edited since.
        time: when it was rejected, Unix ms.
        cut: bytes of the whole line, of which `raw` is only the beginning; 0: `raw` is all of it.
    """

    reason: str
    partition: int
    offset: int
    line: int
    raw: bytes
    time: int = 0
    cut: int = 0

    @property
    def place(self) -> str:
        """Return its place as operators write it."""
        return f"{self.partition}:{self.offset}:{self.line}"

    def as_json(self) -> dict[str, Any]:
        """Return it in the words of topic `rejected`, with its place and time."""
        words: dict[str, Any] = {"place": self.place, "time": self.time, "reason": self.reason}
        words |= {"partition": self.partition, "offset": self.offset, "line": self.line}
        if self.cut:
            words["cut"] = self.cut
        try:
            return words | {"raw": self.raw.decode()}
        except UnicodeDecodeError:
            return words | {"raw64": b64encode(self.raw).decode()}


def read_letter(value: bytes, time_ms: int = 0) -> Letter:
    """Return the letter of a record of topic `rejected`, or of a line that `rejected list --json` printed.

    Raises:
        NoLetter: it is neither.
    """
    try:
        words = orjson.loads(value)
        raw = b64decode(words["raw64"], validate=True) if "raw64" in words else words["raw"].encode()
        place = (int(words["partition"]), int(words["offset"]), int(words["line"]))
        return Letter(str(words["reason"]), *place, raw, int(words.get("time", time_ms)), int(words.get("cut", 0)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoLetter(str(error)) from error


def distinct(letters: Iterable[Letter]) -> Iterator[Letter]:
    """Yield each letter once: a checkpoint that was folded again wrote its letters again."""
    seen: set[tuple[str, bytes]] = set()
    for letter in letters:
        key = (letter.place, letter.raw)
        if key not in seen:
            seen.add(key)
            yield letter


def beacon_of(raw: bytes, by_pair: bool = False) -> Beacon:
    """Return the beacon of a line that would be counted now.

    Raises:
        Rejected: it would be rejected again.
        UnreadableLine: the same; it is no line of ours.
    """
    read_event(raw, by_pair)
    return decode(raw)


def why_left(letter: Letter, by_pair: bool = False) -> str | None:
    """Return why a letter's line cannot be put back; None if it can: `cut`, or why it would be rejected again."""
    return "cut" if letter.cut else why_not(letter.raw, by_pair)


def why_not(raw: bytes, by_pair: bool = False) -> str | None:
    """Return why a line would be rejected again; None if it would be counted."""
    try:
        beacon_of(raw, by_pair)
    except Rejected as rejected:
        return rejected.reason.value
    except UnreadableLine as unreadable:
        return unreadable.reason
    return None
