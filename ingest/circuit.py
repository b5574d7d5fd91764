"""Decides whether a record is offered to Kafka, or goes straight to the spool."""

from __future__ import annotations

# By then a record that went overdue is acknowledged or given up by Kafka's client.
_STUCK_SECONDS = 6.0


class Circuit:
    """Closed while Kafka answers; open from the first sign that it does not, until it acknowledges something.

    It starts open: nothing is known of Kafka before its topics were looked at. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.closed = False
        self.opened = 0
        self.last_ack = float("-inf")
        self._last_beat = float("-inf")
        self._last_overdue = float("-inf")

    def seen(self) -> float:
        """Return when Kafka last took anything."""
        return max(self.last_ack, self._last_beat)

    def beat_acked(self, now: float) -> None:
        """Kafka took a heartbeat, which is the probe while it is open.

        A heartbeat goes to another topic: while beacons are stuck, theirs must come through first.
        """
        self._last_beat = now
        if now - self._last_overdue > _STUCK_SECONDS:
            self.closed = True

    def acked(self, now: float) -> None:
        """Kafka took something, so it takes everything."""
        self.closed = True
        self.last_ack = now

    def failed(self) -> None:
        """Kafka's client gave a record up."""
        self._open()

    def overdue(self, since: float, now: float) -> None:
        """A record sent at `since` is over its time.

        While others sent after it are acknowledged, only its partition is slow, and the rest must not suffer.
        """
        if self.last_ack < since:
            self._last_overdue = now
            self._open()

    def _open(self) -> None:
        if self.closed:
            self.opened += 1
        self.closed = False
