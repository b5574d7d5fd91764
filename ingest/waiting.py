"""What a connection and the desk know of each other: a request that waits, and where it is served."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage

from ingest.answers import Keep, Refused


def keep_after(request: RawRequestMessage) -> Keep | None:
    """Return what becomes of the connection after the answer; None if its version of HTTP is not spoken here."""
    if request.version == HttpVersion11:
        return Keep.CLOSE if request.should_close or request.upgrade else Keep.OPEN
    if request.version == HttpVersion10:
        return Keep.CLOSE if request.should_close else Keep.OPEN_10
    return None


def head_bytes(request: RawRequestMessage) -> int:
    """Return the size of its headers."""
    return sum(len(name) + len(value) + 4 for name, value in request.raw_headers)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take, in bytes and seconds."""

    line_bytes: int
    header_bytes: int
    body_bytes: int
    header_seconds: float
    body_seconds: float
    idle_seconds: float


class Place(Enum):
    """What there is for one more connection."""

    FREE = "it is served"
    TAKEN = "it is told that there is none"
    NONE = "it is closed at once, because even those who are being told so are too many"


class Answering(Protocol):
    """The connection a request came on.

    Attributes:
        peer: address of the other end.
        deadline: loop time at which it is late.
        admin: it came in by the port for operators.
    """

    peer: str
    deadline: float
    admin: bool

    def answer(self, waiting: Waiting, answer: bytes) -> None:
        """Send an answer, as soon as those before it are sent."""

    def cut(self) -> None:
        """Close without an answer: nobody knows whether this beacon is stored."""

    def late(self) -> None:
        """The deadline is over: close, without an answer, whatever it was waiting for."""

    def drain(self, *, idle_too: bool) -> None:
        """Close as soon as what was read is answered; if that is nothing, at once, or not yet."""


class Waiting:
    """A request that waits for its answer.

    Attributes:
        connection: where the answer goes.
        keep: what becomes of the connection.
        seconds: the receive time, which is the answer.
        callback: of a JSONP request, else empty.
        answer: once it is known, while others before it are not.
    """

    __slots__ = ("answer", "callback", "connection", "keep", "seconds")

    def __init__(self, connection: Answering, keep: Keep) -> None:
        self.connection = connection
        self.keep = keep
        self.seconds = 0
        self.callback = b""
        self.answer: bytes | None = None


class Desk(Protocol):
    """Where whole requests go.

    Attributes:
        now: loop time of its last look around; deadlines need no better.
        seconds: wall clock of its last look around.
        draining: every answer closes its connection from now on.
    """

    now: float
    seconds: int
    draining: bool

    def serve(self, request: RawRequestMessage, body: bytes, waiting: Waiting) -> bytes | None:
        """Return the answer, or None if it comes later by `waiting.connection.answer`."""

    def refuse_unread(self, reason: Refused) -> None:
        """Count a request that was refused before it was whole."""

    def opened(self, connection: Answering) -> Place:
        """Tell whether there is room for one more connection."""

    def closed(self, connection: Answering) -> None:
        """Forget it."""

    def hold(self, change: int) -> bool:
        """Account for bytes of unfinished requests; tell whether they still fit."""
