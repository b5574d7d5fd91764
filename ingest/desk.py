"""The desk: a whole request becomes an answer at once, or a line in a pack, answered when it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.http import RawRequestMessage

from ingest import wire
from ingest.answers import Keep, Page, Refused, page, preflight, refused, script_callback
from ingest.beacon import first_value, partition_of
from ingest.ladder import REQUEST_BYTES, Ladder
from ingest.metrics import Ledger
from ingest.packer import Bounds, Packer, linger
from ingest.reading import Reading
from ingest.waiting import Answering, Place, Waiting

BEACON_PATHS = frozenset({"/api_v3/index.php", "/collect"})
# Of operators, on a port of their own: they must come in when players have taken every place.
ADMIN_CONNECTIONS = 16
# Over the bound of connections, and open for as long as it takes to tell them so.
LINGERING = 16


@dataclass(frozen=True, slots=True)
class Room:
    """What one process may hold at once; `connections` are those of players."""

    connections: int
    waiting_bytes: int
    unfinished_bytes: int


class Desk:
    """Serves requests; packs beacons, refuses the rest.

    Attributes:
        now: loop time of the last tick; deadlines of connections need no better.
        seconds: wall clock of the last tick, for answers that carry no receive time.
        draining: set at the stop; every answer then closes its connection.
    """

    def __init__(
        self,
        *,
        ladder: Ladder,
        ledger: Ledger,
        bounds: Bounds,
        partitions: int,
        room: Room,
        reading: Reading,
        pages: Callable[[str], Page | None],
        clock: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ladder = ladder
        self._ledger = ledger
        self._bounds = bounds
        self._partitions = partitions
        self._room = room
        self._reading = reading
        self._pages = pages
        self._clock = clock
        self._packer: Packer[Waiting] = Packer(bounds, partitions)
        self._linger = 0.0
        self._flush_due = False
        self._rate = 0.0
        self._counted = 0
        self._admins = 0
        self.connections: set[Answering] = set()
        self.now = self._loop.time()
        self.seconds = int(clock())
        self.draining = False

    def opened(self, connection: Answering) -> Place:
        self.connections.add(connection)
        if connection.admin:
            self._admins += 1
            return Place.FREE if self._admins <= ADMIN_CONNECTIONS else Place.NONE
        self._ledger.connections += 1
        over = self._ledger.connections - self._room.connections
        if over <= 0:
            return Place.FREE
        return Place.TAKEN if over <= LINGERING else Place.NONE

    def closed(self, connection: Answering) -> None:
        self.connections.discard(connection)
        if connection.admin:
            self._admins -= 1
        else:
            self._ledger.connections -= 1

    def hold(self, change: int) -> bool:
        self._ledger.unfinished_bytes += change
        return self._ledger.unfinished_bytes <= self._room.unfinished_bytes

    def refuse_unread(self, reason: Refused) -> None:
        self._ledger.received += 1
        self._ledger.refuse(reason.word)

    def serve(self, request: RawRequestMessage, body: bytes, waiting: Waiting) -> bytes | None:
        path, _, query = request.path.partition("?")
        if not path.startswith("/"):
            path = request.url.raw_path
        if path in BEACON_PATHS:
            if request.method in ("GET", "POST"):
                return self._keep(request, path, query, body, waiting)
            if request.method == "OPTIONS":
                self._ledger.preflights += 1
                return preflight(self.seconds, waiting.keep)
            return self._refuse(Refused.METHOD, waiting.keep, request.method)
        if request.method in ("GET", "HEAD"):
            shown = self._pages(path)
            if shown is not None:
                return page(shown, self.seconds, waiting.keep, with_body=request.method == "GET")
        return self._refuse(Refused.UNKNOWN_PATH, waiting.keep, request.method)

    def _refuse(self, reason: Refused, keep: Keep, method: str = "GET") -> bytes:
        self.refuse_unread(reason)
        return refused(reason, self.seconds, keep, with_body=method != "HEAD")

    def _keep(self, request: RawRequestMessage, path: str, query: str, body: bytes, waiting: Waiting) -> bytes | None:
        beacon = self._reading.beacon(request, path, query, body, waiting.connection.peer)
        if isinstance(beacon, Refused):
            return self._refuse(beacon, waiting.keep)
        line = wire.encode(beacon)
        ledger = self._ledger
        charge = len(line) + 1 + REQUEST_BYTES
        if ledger.waiting_bytes + charge > self._room.waiting_bytes:
            return self._refuse(Refused.OVERLOADED, waiting.keep)
        ledger.received += 1
        ledger.waiting += 1
        ledger.waiting_bytes += charge
        waiting.seconds = beacon.time // 1000
        if b"callback=" in beacon.query:
            waiting.callback = script_callback(first_value(beacon.query, b"callback"))
        full = self._packer.add(partition_of(beacon, self._partitions), line, waiting)
        if full is not None:
            self._ladder.take(full)
        elif not self._flush_due:
            self._flush_due = True
            if self._linger:
                self._loop.call_later(self._linger, self._flush)
            else:
                self._loop.call_soon(self._flush)
        return None

    def _flush(self) -> None:
        self._flush_due = False
        for pack in self._packer.close_all():
            self._ladder.take(pack)

    def tick(self, elapsed: float) -> None:
        """Look at the clock, the load and the deadlines."""
        self.now = self._loop.time()
        self.seconds = int(self._clock())
        self._rate = (self._rate + (self._ledger.received - self._counted) / elapsed) / 2
        self._counted = self._ledger.received
        self._linger = linger(self._bounds, self._partitions, self._rate)
        for connection in [one for one in self.connections if one.deadline < self.now]:
            connection.late()

    def drain(self, *, idle_too: bool) -> None:
        """From now on close each connection with its next answer; idle ones at once, or not yet."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain(idle_too=idle_too)
