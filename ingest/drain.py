"""Empties spools into Kafka: this process's own, then folders that nobody owns any more."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingest.frames import Frame, Reading
from ingest.ladder import Kafka
from ingest.metrics import Ledger
from ingest.segments import Folder, Segment, Segments
from ingest.tracing import Spans

log = logging.getLogger("ingest.drain")

_RECORD_BYTES = 64 * 1024
_RECORDS_AT_ONCE = 64
# More than the producer's own; a producer that was replaced delivers nothing any more.
_DELIVERY_SECONDS = 8.0
_ORPHANS_EVERY_SECONDS = 10.0
# Before a file is begun again: what Kafka refuses at once, it is not asked for ten times a second.
_AGAIN_SECONDS = 0.1
_AGAIN_SECONDS_AT_MOST = 5.0


class KafkaAway(Exception):
    """Kafka did not take a record, and why: leave the segment as it is, and begin it again when Kafka is back."""


@dataclass(frozen=True, slots=True)
class Record:
    """Lines for one partition."""

    partition: int
    value: bytes


def regroup(frames: tuple[Frame, ...], partitions: int) -> list[Record]:
    """Return the lines of many small frames in few records, each line in its partition, in order."""
    records: list[Record] = []
    open_: dict[int, list[bytes]] = {}
    sizes: dict[int, int] = {}
    for frame in frames:
        partition = frame.partition % partitions
        lines = open_.setdefault(partition, [])
        lines.append(frame.value)
        sizes[partition] = sizes.get(partition, 0) + len(frame.value) + 1
        if sizes[partition] >= _RECORD_BYTES:
            records.append(Record(partition, b"\n".join(lines)))
            del open_[partition], sizes[partition]
    records += [Record(partition, b"\n".join(lines)) for partition, lines in open_.items()]
    return records


class Drain:
    """Drains one segment after another while Kafka answers, never faster than the rate."""

    def __init__(
        self,
        kafka: Kafka,
        kafka_answers: Callable[[], bool],
        ledger: Ledger,
        partitions: int,
        rate: int,
        spans: Spans | None = None,
    ) -> None:
        self._kafka = kafka
        self._kafka_answers = kafka_answers
        self._ledger = ledger
        self._partitions = partitions
        self._bytes_per_second = rate
        self._spans = spans or Spans()
        # Of the file under way, which of its records Kafka has: begun again, it must not begin at its beginning.
        self._file: Path | None = None
        self._has: set[int] = set()

    async def empty(self, segments: Segments, seal: Callable[[Segment], Awaitable[None]]) -> None:
        """Return when Kafka has all that was in this spool."""
        again = _AGAIN_SECONDS
        while (segment := segments.oldest()) is not None:
            if not self._kafka_answers():
                await asyncio.sleep(0.1)
                continue
            await seal(segment)
            try:
                with self._spans.timed("ingest.drain", {"file": segment.path.name, "beacons": segment.beacons}):
                    await self._drain(segments, segment)
                again = _AGAIN_SECONDS
            except KafkaAway as error:
                log.info("drain_interrupted file=%s again_in=%.1f error=%s", segment.path.name, again, error)
                await asyncio.sleep(again)
                again = min(2 * again, _AGAIN_SECONDS_AT_MOST)
            except OSError as error:
                log.error("drain_failed file=%s error=%s", segment.path.name, error.strerror)
                await asyncio.sleep(1)

    async def _drain(self, segments: Segments, segment: Segment) -> None:
        try:
            reading = await asyncio.to_thread(segments.read, segment)
        except FileNotFoundError:
            self._forget(segments, segment)
            return
        self._look_for_damage(segment, reading)
        if self._file != segment.path:
            self._file, self._has = segment.path, set()
        has = self._has
        loop = asyncio.get_running_loop()
        at_once = asyncio.Semaphore(_RECORDS_AT_ONCE)
        due = loop.time()
        deliveries: list[asyncio.Future[None]] = []
        records = regroup(reading.frames, self._partitions)
        for number, record in enumerate(records):
            if number in has:
                continue
            try:
                # Not wait_for, which can swallow the cancellation that ends this drain.
                async with asyncio.timeout(_DELIVERY_SECONDS):
                    await at_once.acquire()
            except TimeoutError:
                raise KafkaAway(_why(deliveries)) from None
            delivery = self._send(record, loop, partial(has.add, number))
            delivery.add_done_callback(lambda _: at_once.release())
            # Asked for, or asyncio logs a traceback for each that nobody waits for any more.
            delivery.add_done_callback(asyncio.Future.exception)
            deliveries.append(delivery)
            due = max(due, loop.time()) + len(record.value) / self._bytes_per_second
            await asyncio.sleep(due - loop.time())
            if not self._kafka_answers():
                break
        if deliveries:
            await asyncio.wait(deliveries, timeout=_DELIVERY_SECONDS)
        if len(has) < len(records) or not self._kafka_answers():
            raise KafkaAway(_why(deliveries))
        await asyncio.to_thread(segments.delete, segment)
        # The next file may have its name: folders' names are used again, and files are numbered from 1 in each.
        self._file, self._has = None, set()
        self._ledger.drained += sum(frame.beacons for frame in reading.frames)

    def _forget(self, segments: Segments, segment: Segment) -> None:
        """Go on without a file that is not there: what was behind it would wait for ever."""
        if not segment.path.parent.is_dir():
            # The whole disk is away, and may come back.
            raise FileNotFoundError(errno.ENOENT, "the spool's folder is not there")
        # Another may come by its name.
        self._file, self._has = None, set()
        if segments.forget(segment):
            self._ledger.spool_damaged += 1
            # At most: Kafka may have some of it already.
            log.error("spool_file_missing file=%s beacons_lost_at_most=%d", segment.path.name, segment.beacons)

    def known(self, segments: Segments) -> None:
        """Count what was found wrong with a spool when it was opened."""
        self._ledger.spool_damaged += segments.damaged
        self._ledger.spool_repeated += segments.repeated
        self._ledger.spool_cut_bytes += segments.cut_bytes

    def _look_for_damage(self, segment: Segment, reading: Reading) -> None:
        """Count and say what is not readable of a file, once: all that it counts for was answered 200."""
        lost = segment.beacons - sum(frame.beacons for frame in reading.frames)
        places = max(reading.damaged + (reading.end < segment.bytes), int(lost > 0))
        if places > segment.damaged:
            self._ledger.spool_damaged += places - segment.damaged
            segment.damaged = places
            log.error("spool_damaged file=%s places=%d beacons_lost=%d", segment.path.name, places, lost)

    def _send(
        self, record: Record, loop: asyncio.AbstractEventLoop, kafka_has_it: Callable[[], None]
    ) -> asyncio.Future[None]:
        delivery: asyncio.Future[None] = loop.create_future()

        def delivered(error: str | None) -> None:
            if error is None:
                kafka_has_it()
            if not delivery.done():
                if error is None:
                    delivery.set_result(None)
                else:
                    delivery.set_exception(KafkaAway(error))

        if not self._kafka.send(record.partition, record.value, delivered):
            delivery.set_exception(KafkaAway("the producer is full"))
        return delivery


def _why(deliveries: list[asyncio.Future[None]]) -> str:
    """Return the first reason that Kafka gave."""
    for delivery in deliveries:
        if delivery.done() and (error := delivery.exception()) is not None:
            return str(error)
    return "it acknowledged nothing more"


class Orphans:
    """Finds folders whose owner is gone, empties them, and takes the owner's name out of `ingests`."""

    def __init__(
        self, root: Path, segment_bytes: int, drain: Drain, sign_off: Callable[[str], Awaitable[None]]
    ) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._drain = drain
        self._sign_off = sign_off
        self._left_alone: set[Path] = set()

    async def watch(self) -> None:
        """Look again and again; never returns."""
        while True:
            # Waiting comes first: processes that start together find their folders before an adopter does.
            await asyncio.sleep(_ORPHANS_EVERY_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Adopt every spool folder that nobody owns; what is none is left alone, and said once."""
        try:
            paths = sorted(self._root.iterdir())
        except OSError as error:
            # No files left, or a bad disk: an orphan can wait, those who wait for an answer can not.
            log.error("folders_not_seen folder=%s error=%s", self._root, error.strerror)
            return
        for path in paths:
            try:
                if await asyncio.to_thread(Folder.is_spool, path):
                    await self._adopt(path)
                    continue
                why = "there is more than a spool's files in it, or nothing"
            except FileNotFoundError:
                continue  # its owner has taken it away
            except OSError as error:
                why = str(error.strerror)
            if path not in self._left_alone:
                self._left_alone.add(path)
                log.warning("folder_left_alone folder=%s why=%s", path.name, why)

    async def _adopt(self, path: Path) -> None:
        folder = await asyncio.to_thread(Folder.claim, path)
        if folder is None:
            return
        try:
            await self._drain_all(folder)
        except OSError:
            # Held on to, nobody could try again: neither this process nor another.
            folder.release()
            raise
        await asyncio.to_thread(folder.remove)
        log.info("orphan_emptied folder=%s", path.name)

    async def _drain_all(self, folder: Folder) -> None:
        segments = Segments(folder.path, self._segment_bytes)
        await asyncio.to_thread(segments.recover)
        self._drain.known(segments)
        log.info("orphan_found folder=%s bytes=%d", folder.path.name, segments.bytes())
        await self._drain.empty(segments, _sealed)
        await self._sign_off(folder.ingest_id(""))


async def _sealed(_: Segment) -> None:
    """Nobody writes to an orphan."""
