"""Decides whether a record is offered to Kafka, or goes straight to the spool."""

from __future__ import annotations


class Circuit:
    """Closed while Kafka answers; open from the first sign that it does not, until it acknowledges something.

    It starts open: nothing is known of Kafka before its topics were looked at. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.closed = False
        self.opened = 0
        self.last_ack = float("-inf")

    def acked(self, now: float) -> None:
        """Kafka took something, so it takes everything."""
        self.closed = True
        self.last_ack = now

    def failed(self) -> None:
        """Kafka's client gave a record up."""
        self._open()

    def overdue(self, since: float) -> None:
        """A record sent at `since` is over its time.

        While others sent after it are acknowledged, only its partition is slow, and the rest must not suffer.
        """
        if self.last_ack < since:
            self._open()

    def _open(self) -> None:
        if self.closed:
            self.opened += 1
        self.closed = False
