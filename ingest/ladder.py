"""The ladder under every answer: Kafka has it, else the spool has it on disk, else 503; within a second.

A pack that was in Kafka's hands and is in no spool is never answered 503: it may be counted after all, so its
connections are closed instead, and a browser sends such a request again by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ingest.answers import Keep, Refused, refused, stored
from ingest.circuit import Circuit
from ingest.metrics import Ledger
from ingest.packer import Pack
from ingest.waiting import Waiting

# What a waiting request costs beside its line: its objects here and in the connection.
REQUEST_BYTES = 1024
_POLL_SECONDS = 0.002


class Kafka(Protocol):
    """The way into Kafka."""

    topics_doubtful: bool

    def send(self, partition: int, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        """Hand a record over; False: not taken."""

    def poll(self) -> None:
        """Call the deliveries that are due."""


class Spool(Protocol):
    """The way onto the disk."""

    def offer(self, pack: Spooling, done: Callable[[bool], None]) -> bool:
        """Take a pack to be written; False: no room. `done` says later whether it is on disk."""

    def withdraw(self, pack: Spooling) -> bool:
        """Take it back, if the writing of it has not begun."""


@dataclass(slots=True, eq=False)
class Spooling:
    """What the spool keeps of a pack."""

    partition: int
    beacons: int
    value: bytes


class _Flight:
    """A closed pack on its way to an answer."""

    __slots__ = ("answered", "at_kafka", "beacons", "born", "handed", "pack", "spooling", "value")

    def __init__(self, pack: Pack[Waiting], born: float) -> None:
        self.pack = pack
        self.value = pack.value()
        self.beacons = len(pack.lines)
        # The joined value holds them all; twice would be twice the memory.
        pack.lines.clear()
        self.born = born
        self.handed = False
        self.at_kafka = False
        self.answered = False
        self.spooling: Spooling | None = None


class Ladder:
    """Takes closed packs and answers everyone in them."""

    def __init__(self, kafka: Kafka, spool: Spool, ledger: Ledger, kafka_seconds: float, answer_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._kafka = kafka
        self._spool = spool
        self._ledger = ledger
        self._kafka_seconds = kafka_seconds
        self._answer_seconds = answer_seconds
        self.circuit = Circuit()
        self._at_kafka: deque[_Flight] = deque()
        self._unanswered: deque[_Flight] = deque()
        self._ticking = False
        self._stored: tuple[int, bytes] = (0, b"")

    def take(self, pack: Pack[Waiting]) -> None:
        """Answer everyone in the pack, soon."""
        flight = _Flight(pack, self._loop.time())
        self._unanswered.append(flight)
        if self.circuit.closed and not self._kafka.topics_doubtful:
            flight.handed = flight.at_kafka = self._kafka.send(
                pack.partition, flight.value, lambda error: self._delivered(flight, error)
            )
        if flight.at_kafka:
            self._at_kafka.append(flight)
        else:
            self._to_spool(flight)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(_POLL_SECONDS, self._tick)

    def _delivered(self, flight: _Flight, error: str | None) -> None:
        now = self._loop.time()
        flight.at_kafka = False
        if error is None:
            self.circuit.acked(now)
            self._ledger.records += 1
            self._ledger.produce_seconds.add(now - flight.born, 1)
            if flight.answered:
                self._ledger.late += flight.beacons
            else:
                self._ledger.produced += flight.beacons
                if flight.spooling is not None:
                    self._spool.withdraw(flight.spooling)
                self._answer(flight)
        else:
            self.circuit.failed()
            if not flight.answered and flight.spooling is None:
                self._to_spool(flight)

    def _to_spool(self, flight: _Flight) -> None:
        pack = flight.pack
        flight.spooling = Spooling(pack.partition, flight.beacons, flight.value)
        if not self._spool.offer(flight.spooling, lambda on_disk: self._spooled(flight, on_disk)):
            self._spooled(flight, False)

    def _spooled(self, flight: _Flight, on_disk: bool) -> None:
        if flight.answered:
            return
        if on_disk:
            self._ledger.spooled += flight.beacons
            self._answer(flight)
        elif not flight.handed:
            self._refuse(flight)

    def _tick(self) -> None:
        # First what Kafka has said by now: after a freeze of this process that is much.
        self._kafka.poll()
        now = self._loop.time()
        while self._at_kafka and (
            not self._at_kafka[0].at_kafka or self._at_kafka[0].born + self._kafka_seconds <= now
        ):
            flight = self._at_kafka.popleft()
            if flight.at_kafka:
                self.circuit.overdue(flight.born, now)
                if flight.spooling is None:
                    self._to_spool(flight)
        while self._unanswered and (
            self._unanswered[0].answered or self._unanswered[0].born + self._answer_seconds <= now
        ):
            self._give_up(self._unanswered.popleft())
        if self._unanswered or self._at_kafka:
            self._loop.call_later(_POLL_SECONDS, self._tick)
        else:
            self._ticking = False

    def _give_up(self, flight: _Flight) -> None:
        if flight.answered:
            return
        untouched = flight.spooling is not None and self._spool.withdraw(flight.spooling)
        if untouched and not flight.handed:
            self._refuse(flight)
        else:
            self._cut(flight)

    def _answer(self, flight: _Flight) -> None:
        self._settle(flight)
        self._ledger.answered += flight.beacons
        seconds, answer = self._stored
        for waiting in flight.pack.waiting:
            if waiting.callback or waiting.keep is not Keep.OPEN:
                waiting.connection.answer(waiting, stored(waiting.seconds, waiting.callback, waiting.keep))
                continue
            if waiting.seconds != seconds:
                seconds = waiting.seconds
                answer = stored(seconds, b"", Keep.OPEN)
                self._stored = (seconds, answer)
            waiting.connection.answer(waiting, answer)

    def _refuse(self, flight: _Flight) -> None:
        self._settle(flight)
        self._ledger.refuse(Refused.NOT_STORED.word, flight.beacons)
        for waiting in flight.pack.waiting:
            waiting.connection.answer(waiting, refused(Refused.NOT_STORED, waiting.seconds, waiting.keep))

    def _cut(self, flight: _Flight) -> None:
        self._settle(flight)
        self._ledger.cut += flight.beacons
        for waiting in flight.pack.waiting:
            waiting.connection.cut()

    def _settle(self, flight: _Flight) -> None:
        flight.answered = True
        self._ledger.waiting -= flight.beacons
        self._ledger.waiting_bytes -= flight.pack.size + REQUEST_BYTES * flight.beacons
        self._ledger.answer_seconds.add(self._loop.time() - flight.born, flight.beacons)
