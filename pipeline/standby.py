"""Standby: copies of the stores of partitions that other workers own, kept warm by reading the state topics.

A copy holds whole checkpoints only and nothing but what Kafka holds: whoever opens the partition here goes on from
its offsets, as from any store. Following writes nothing to Kafka and fences nobody.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.changelog import Lost, places_in, read_to_end, state_consumer
from pipeline.opening import bring_to_end
from pipeline.owned import Place
from pipeline.replay import OnOutside, Replayed
from pipeline.rocks import is_damage
from pipeline.store import Store

log = logging.getLogger(__name__)

# Between two rounds over all copies: what a takeover has left to read is about as much.
ROUND_S = 1.0
# A copy that could not be brought to the end waits longer each time: a torn tail may stay so until it is owned again.
RETRY_MOST_S = 60.0
# A round waits less for Kafka than an opening does: a partition that becomes ours waits for it.
SILENT_S = 5
POLL_S = 0.01


class NotWanted(Exception):
    """The copy is being let go: leave it as it is."""


class CopyReader:
    """Reads the state topics of one partition after the other, over one connection. Blocking calls."""

    def __init__(self, place: Place) -> None:
        """Prepare; nothing is read yet."""
        self._topics = place.topics
        self._consumer = state_consumer(place.kafka)

    def replay(self, partition: int, offsets: dict[str, int], on_outside: OnOutside) -> Iterator[Replayed]:
        """Yield rows to their end, and only then marks: they have seen at least what the rows count.

        Raises:
            Lost: Kafka did not answer.
        """
        places = places_in(self._consumer, self._topics, partition, offsets, on_outside, SILENT_S)
        for topic in (self._topics.windows, self._topics.seen):
            yield from read_to_end(self._consumer, partition, {topic: places[topic]}, POLL_S, SILENT_S)

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()


@dataclass(slots=True)
class Copy:
    """The copy of one partition. One thread at a time may use it.

    Attributes:
        fresh_at: when it last began to be brought to an end that it then held, monotonic s; long ago if never.
        position: of the last beacon record that it includes.
        is_wanted: turned off by whoever lets it go; a round under way ends soon then.
        due: when to bring it up next, monotonic s. delay_s: how long it waited for that.
    """

    number: int
    fresh_at: float = -math.inf
    position: int = -1
    is_wanted: bool = True
    due: float = 0.0
    delay_s: float = 0.0
    _store: Store | None = None
    _reader: CopyReader | None = None

    def bring_up(self, reader: CopyReader, place: Place, horizon_s: int) -> bool:
        """Bring it to the end of the state topics; tell whether that end is whole. Blocks.

        Raises:
            Lost: Kafka did not answer.
            NotWanted: it is being let go.
        """
        began = time.monotonic()
        if not self.is_wanted:
            raise NotWanted
        if self._store is None:
            self._store = Store(place.store_path(self.number), horizon_s)
        self._reader = reader
        end = bring_to_end(self._store, self, place.topics, grows=True)
        if not end.is_whole:
            return False
        position = end.verdict.position
        self.position, self.fresh_at = position.offset, began
        # The line's own time as far as this machine's clock agrees, as a partition takes it.
        self._store.drop_before(int(min(time.time(), position.time / 1000)))
        return True

    def replay(self, offsets: dict[str, int], on_outside: OnOutside) -> Iterator[Replayed]:
        """Yield what the reader yields, as long as the copy is wanted."""
        assert self._reader is not None
        for record in self._reader.replay(self.number, offsets, on_outside):
            if not self.is_wanted:
                raise NotWanted
            yield record

    def close(self, damaged: bool = False) -> None:
        """Let the folder go, nothing left of a damaged store. Blocks."""
        store, self._store = self._store, None
        if store is not None:
            if damaged:
                store.wipe()
            store.close()


class Standby:
    """Keeps the copies that Faust's assignor gives to this worker.

    Attributes:
        may_follow: tells whether the worker has nothing more urgent to do: its own partitions are open.
        faults: rounds that failed.
    """

    def __init__(
        self,
        place: Place,
        horizon_s: int,
        may_follow: Callable[[], bool],
        connect: Callable[[Place], CopyReader] = CopyReader,
    ) -> None:
        """Start with no copies; `horizon_s` is that of the marks."""
        self._connect = connect
        self.may_follow = may_follow
        self.faults = 0
        self._place = place
        self._horizon_s = horizon_s
        self._copies: dict[int, Copy] = {}
        self._round: tuple[Copy, asyncio.Future[None]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._reader: CopyReader | None = None
        self._ending = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="standby")

    def copies(self) -> list[Copy]:
        """Return the copies that are kept now."""
        return list(self._copies.values())

    async def follow(self, numbers: Iterable[int]) -> None:
        """Keep copies of exactly these partitions from now on."""
        wanted = set(numbers)
        await self.let_go(self._copies.keys() - wanted)
        for number in wanted - self._copies.keys():
            self._copies[number] = Copy(number)
        if wanted and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep())
        log.info("standby for partitions %s", sorted(wanted))

    async def let_go(self, numbers: Iterable[int]) -> None:
        """Follow these no more; their folders are free when this returns. Never raises."""
        leaving = [self._copies.pop(number) for number in set(numbers) & self._copies.keys()]
        for copy in leaving:
            copy.is_wanted = False
        if self._round is not None and self._round[0] in leaving:
            await asyncio.wait([self._round[1]])
        await asyncio.gather(*(asyncio.to_thread(_close, copy) for copy in leaving))

    async def close(self) -> None:
        """Let everything go."""
        self._ending.set()
        await self.let_go(list(self._copies))
        if self._task is not None:
            await self._task
        self._thread.shutdown()
        await asyncio.to_thread(self._disconnect)

    async def _keep(self) -> None:
        while not self._ending.is_set():
            for copy in self.copies():
                if copy.is_wanted and copy.due <= time.monotonic() and self.may_follow():
                    await self._bring_up(copy)
            try:
                async with asyncio.timeout(ROUND_S):
                    await self._ending.wait()
            except TimeoutError:
                continue

    async def _bring_up(self, copy: Copy) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._one_round, copy)
        self._round = copy, future
        try:
            await future
        finally:
            self._round = None

    def _one_round(self, copy: Copy) -> None:
        """Bring a copy up once; whatever goes wrong is said, counted, and tried again later."""
        is_whole = False
        try:
            if self._reader is None:
                self._reader = self._connect(self._place)
            is_whole = copy.bring_up(self._reader, self._place, self._horizon_s)
        except NotWanted:
            return
        except Lost as lost:
            self.faults += 1
            log.warning("standby for partition %d: %s", copy.number, lost)
            self._disconnect()
        except Exception as fault:
            self.faults += 1
            log.exception("standby for partition %d failed; its store is opened again", copy.number)
            _close(copy, is_damage(fault))
        copy.delay_s = 0.0 if is_whole else min(RETRY_MOST_S, max(ROUND_S, copy.delay_s * 2))
        copy.due = time.monotonic() + copy.delay_s

    def _disconnect(self) -> None:
        """Let the connection go: a client may go on asking a broker that has died, a new one asks the others."""
        reader, self._reader = self._reader, None
        try:
            if reader is not None:
                reader.close()
        except Exception:
            log.exception("closing the connection of the copies failed")


def _close(copy: Copy, damaged: bool = False) -> None:
    try:
        copy.close(damaged)
    except Exception:
        # A cache: whoever opens it finds out, and begins it anew where it is damaged.
        log.exception("closing the copy of partition %d failed", copy.number)
