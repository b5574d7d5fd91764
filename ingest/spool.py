"""The spool as the event loop sees it: packs offered are written by a thread, one sync for all that wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import time

from ingest.ladder import Spooling
from ingest.metrics import Ledger
from ingest.segments import NotOnDisk, Segment, Segments

log = logging.getLogger("ingest.spool")

Done = Callable[[bool], None]
_GROUP_BYTES = 8 << 20
# A write that takes longer is a disk that hangs: who comes later is refused at once and not kept waiting.
_STALLED_SECONDS = 0.5
# After two failures in a row the disk is left alone for so long.
_REST_SECONDS = 2.0
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SpoolRoom:
    """How much the spool may take.

    Attributes:
        bytes: in files.
        free_bytes: that must be left on the disk.
    """

    bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class _Offered:
    pack: Spooling
    time: int
    done: Done


class Spool:
    """Takes packs while there is room; tells each whether it is on disk."""

    def __init__(self, segments: Segments, room: SpoolRoom, ledger: Ledger) -> None:
        self._loop = asyncio.get_running_loop()
        self._segments = segments
        self._room = room
        self._ledger = ledger
        # One thread, so that there is one writer and one sync at a time.
        self._thread = ThreadPoolExecutor(1, "spool")
        self._waiting: list[_Offered] = []
        self._waiting_bytes = 0
        self._writing: list[_Offered] = []
        self._began = 0.0
        self._failures = 0
        self._rest_until = 0.0
        self._disk_full = False
        self._look_at = 0.0
        self._looking: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def offer(self, pack: Spooling, done: Done) -> bool:
        """Take a pack to be written; False: no room, or the disk fails or hangs."""
        now = self._loop.time()
        stalled = bool(self._writing) and now - self._began > _STALLED_SECONDS
        if stalled or now < self._rest_until or not self._fits(len(pack.value)):
            return False
        self._waiting.append(_Offered(pack, int(time() * 1000), done))
        self._waiting_bytes += len(pack.value)
        if not self._writing:
            self._idle.clear()
            self._write()
        return True

    def _fits(self, more: int) -> bool:
        return self._segments.bytes() + self._waiting_bytes + more <= self._room.bytes

    def withdraw(self, pack: Spooling) -> bool:
        """Take a pack back; False: its writing has begun, or is over."""
        for offered in self._waiting:
            if offered.pack is pack:
                self._waiting.remove(offered)
                self._waiting_bytes -= len(pack.value)
                return True
        return False

    def _write(self) -> None:
        size = count = 0
        for offered in self._waiting:
            size += len(offered.pack.value)
            count += 1
            if size >= _GROUP_BYTES:
                break
        self._writing, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_bytes -= size
        self._began = self._loop.time()
        packs = [(one.time, one.pack.partition, one.pack.beacons, one.pack.value) for one in self._writing]
        written = self._loop.run_in_executor(self._thread, self._append, packs, size)
        written.add_done_callback(self._written)

    def _append(self, packs: list[tuple[int, int, int, bytes]], size: int) -> None:
        self._disk_full = self._segments.free_bytes() - size < self._room.free_bytes
        if self._disk_full:
            raise NotOnDisk("the disk has less free than INGEST_SPOOL_MIN_FREE_MIB")
        self._segments.append(packs)

    def _written(self, written: asyncio.Future[None]) -> None:
        group, self._writing = self._writing, []
        error = written.exception()
        if error is None:
            self._failures = 0
        else:
            self._failures += 1
            self._ledger.spool_failures += 1
            if self._failures > 1:
                self._rest_until = self._loop.time() + _REST_SECONDS
            log.error("spool_write_failed failures=%d error=%s", self._failures, error)
        if self._waiting:
            self._write()
        else:
            self._idle.set()
        for offered in group:
            offered.done(error is None)

    def look_again(self) -> None:
        """While the disk is full or fails, try it now and then; to be called again and again.

        Whoever is not ready is sent nothing, so no write would ever find out that the disk is well again.
        """
        now = self._loop.time()
        tried = self._looking is not None and not self._looking.done()
        if (
            not (self._disk_full or self._failures > 1)
            or self._writing
            or tried
            or now < max(self._look_at, self._rest_until)
        ):
            return
        self._look_at = now + _REST_SECONDS
        self._looking = self._loop.run_in_executor(self._thread, self._try)
        self._looking.add_done_callback(self._tried)

    def _try(self) -> None:
        if self._segments.free_bytes() < self._room.free_bytes:
            raise NotOnDisk("the disk is still full")
        if self._failures > 1:
            self._segments.trial()

    def _tried(self, tried: asyncio.Future[None]) -> None:
        if not tried.cancelled() and tried.exception() is None:
            self._disk_full = False
            self._failures = 0
            log.info("spool_works_again")

    def has_room(self) -> bool:
        """Tell whether the spool can be relied on: it works, and a tenth of it is free."""
        used = self._segments.bytes() + self._waiting_bytes
        return self._failures < 2 and not self._disk_full and used < self._room.bytes * 0.9

    def since(self) -> int | None:
        """Return when the oldest pack in it was offered, written yet or not, Unix milliseconds."""
        times = [offered.time for offered in self._writing] + [offered.time for offered in self._waiting]
        oldest = self._segments.since()
        return min(times, default=oldest) if oldest is None else min([oldest, *times])

    async def seal(self, segment: Segment) -> None:
        """Write no more to this file, so that it can be drained."""
        await self._loop.run_in_executor(self._thread, self._segments.seal, segment)

    async def close(self) -> None:
        """Wait for what is being written, unless the disk hangs: who waited for that was told so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._idle.wait()
        self._thread.shutdown(wait=False)
