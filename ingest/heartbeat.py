"""Says once a second, in `ingests`, how far everything answered 200 is in Kafka; the report counts by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from ingest.circuit import Circuit
from ingest.sink import Sink

# More than the producer's own; a producer that was replaced delivers nothing any more.
_DELIVERY_SECONDS = 8.0


class Heartbeat:
    """This ingest's record in `ingests`, which is also the probe that closes the circuit again."""

    def __init__(
        self,
        sink: Sink,
        circuit: Circuit,
        name: str,
        since: Callable[[], int | None],
        clock: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        self._circuit = circuit
        self._name = name
        self._since = since
        self._clock = clock
        self._sent_at = 0.0
        self._flying: asyncio.Future[bool] | None = None

    def beat(self) -> asyncio.Future[bool]:
        """Send the record; the future tells whether Kafka has it. At most one is on its way.

        The time is taken before the spool is looked at: a beacon answered before it was acknowledged by
        Kafka before it, and so lies before this record, or is in the spool and seen there.
        """
        now = self._loop.time()
        if self._flying is None or self._flying.done() or now - self._sent_at > _DELIVERY_SECONDS:
            self._sent_at = now
            time = int(self._clock() * 1000)
            value = {"time": time, "pendingSince": self._since()}
            self._flying = self._send(self._name, json.dumps(value, separators=(",", ":")).encode())
        return self._flying

    def sign_off(self, name: str) -> asyncio.Future[bool]:
        """Take an ingest's name out of `ingests`: all that it ever answered 200 is in Kafka."""
        return self._send(name, None)

    def _send(self, name: str, value: bytes | None) -> asyncio.Future[bool]:
        sent: asyncio.Future[bool] = self._loop.create_future()

        def delivered(error: str | None) -> None:
            if error is None:
                self._circuit.beat_acked(self._loop.time())
            if not sent.done():
                sent.set_result(error is None)

        if self._sink.topics_doubtful or not self._sink.beat(name.encode(), value, delivered):
            sent.set_result(False)
        return sent
