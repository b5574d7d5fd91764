"""A request that waits for its answer, between the connection it came on and the ladder that answers it."""

from __future__ import annotations

from typing import Protocol

from ingest.answers import Keep


class Answering(Protocol):
    """The connection a request came on."""

    peer: str

    def answer(self, waiting: Waiting, answer: bytes) -> None:
        """Send an answer, as soon as those before it are sent."""

    def cut(self) -> None:
        """Close without an answer: nobody knows whether this beacon is stored."""


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
