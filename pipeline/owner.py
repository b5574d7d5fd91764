"""The owner of this worker's partitions: opens them, feeds them, writes their checkpoints, gives them up.

Any doubt (a commit that failed or timed out, another owner, a fault of the store) has one answer: forget the
partition's memory, close it, open it again if it is still ours. There is no other repair path.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import KafkaException

from pipeline.batch import Batch
from pipeline.changelog import Lost
from pipeline.fetch import Fetch, Records
from pipeline.metrics import WorkerMetrics
from pipeline.opening import Refused
from pipeline.owned import Owned, Place, free_beat, open_owned
from pipeline.partition import Gap, Partition
from pipeline.rocks import is_damage
from pipeline.rows import Rules

log = logging.getLogger(__name__)

# Records folded before others get their turn on the loop: about 20 ms of work at 12 beacons a record.
RECORDS_A_TURN = 200
REOPEN_FIRST_S = 0.5
REOPEN_MOST_S = 5.0
# How long the end waits for a partition that is just being opened, or closed for a doubt.
CLOSE_S = 5.0


class Owner:
    """Holds the partitions that Faust's group assigns to this worker."""

    def __init__(self, place: Place, rules: Rules, fetch: Fetch, metrics: WorkerMetrics) -> None:
        """Start with no partitions."""
        self._place = place
        self._rules = rules
        self._fetch = fetch
        self._metrics = metrics
        self._assigned: set[int] = set()
        self._has_heard = False
        self._open: dict[int, Owned] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(64, thread_name_prefix="partition")

    # -- what it holds

    @property
    def is_ready(self) -> bool:
        """Tell whether every assigned partition is being counted; there may be none left for this worker."""
        return self._has_heard and self._open.keys() >= self._assigned

    def held(self) -> dict[int, Partition]:
        """Return the open partitions."""
        return {number: owned.partition for number, owned in self._open.items()}

    # -- taking and giving up

    async def assign(self, numbers: Iterable[int]) -> None:
        """Hold exactly these partitions: give up the others, open those not open, side by side."""
        self._assigned, self._has_heard = set(numbers), True
        log.info("assigned partitions %s", sorted(self._assigned))
        for number in set(self._open) - self._assigned:
            await self._give_up(number)
        for number in self._assigned - set(self._open) - set(self._opening):
            self._begin_opening(number, 0.0)

    async def settle(self) -> None:
        """Write what is folded, so that the next owner need not fold it again."""
        await asyncio.gather(*(self._write_rest(owned) for owned in list(self._open.values())))

    async def close(self) -> None:
        """Write what is folded and give everything up."""
        self._assigned = set()
        await asyncio.gather(*(self._give_up(number) for number in list(self._open)))
        # What is being opened now closes itself again, for it is not assigned any more.
        if under_way := [*self._opening.values(), *self._ending]:
            await asyncio.wait(under_way, timeout=CLOSE_S)
        for task in list(self._opening.values()):
            task.cancel()
        self._threads.shutdown(wait=False)

    async def _write_rest(self, owned: Owned) -> None:
        if owned.writing is not None:
            await asyncio.wait([owned.writing])
        if self._may_write(owned):
            self._checkpoint(owned)
        if owned.writing is not None:
            await asyncio.wait([owned.writing])

    async def _give_up(self, number: int) -> None:
        owned = self._open.get(number)
        if owned is None:
            return
        self._fetch.stop(number)
        await self._write_rest(owned)
        if self._open.pop(number, None) is not None:
            await self._let_go(owned)

    async def _let_go(self, owned: Owned, damaged: bool = False) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, owned.close, damaged)
        except Exception:
            # The store is a cache. For it the partition must not stay closed, nor the worker keep from ending.
            log.exception("closing partition %d failed", owned.partition.number)

    def _begin_opening(self, number: int, delay_s: float) -> None:
        self._opening[number] = asyncio.get_running_loop().create_task(self._opened_or_not_ours(number, delay_s))

    async def _opened_or_not_ours(self, number: int, delay_s: float) -> None:
        try:
            await self._keep_opening(number, delay_s)
        finally:
            # Here, not in a callback of the task: an assignment in between would wait for an opening that is over.
            del self._opening[number]

    async def _keep_opening(self, number: int, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        while number in self._assigned:
            await asyncio.sleep(delay_s)
            delay_s = min(REOPEN_MOST_S, max(REOPEN_FIRST_S, delay_s * 2))
            started = time.monotonic()
            try:
                owned = await loop.run_in_executor(self._threads, open_owned, number, self._place, self._rules)
            except Lost as lost:
                log.warning("opening partition %d: %s; trying again in %.1f s", number, lost, delay_s)
                continue
            except Refused as refused:
                log.error("%s", refused)
                return
            except Exception:
                log.exception("opening partition %d failed; trying again in %.1f s", number, delay_s)
                continue
            if number not in self._assigned:
                await self._let_go(owned)
                continue  # it may have become ours again meanwhile
            self._metrics.opened(number, time.monotonic() - started)
            log.info(
                "partition %d open at %d after %.2f s",
                number,
                owned.partition.position,
                time.monotonic() - started,
            )
            dues = [other.due for other in self._open.values()]
            owned.due = free_beat(dues, time.monotonic(), self._place.checkpoint_s)
            self._open[number] = owned
            self._fetch.start(number, owned.partition.position + 1)
            return

    def _fault(self, owned: Owned, doing: str, fault: Exception) -> None:
        number = owned.partition.number
        log.error("%s partition %d failed", doing, number, exc_info=fault)
        self._doubt(number, owned, f"{doing} failed: {fault!r}", damaged=is_damage(fault))

    def _doubt(self, number: int, owned: Owned, why: str, fenced: bool = False, damaged: bool = False) -> None:
        """Forget a partition whose state may not be what was written; open it again if it is still ours."""
        if self._open.get(number) is not owned:
            return
        log.warning("partition %d given up at %d: %s", number, owned.partition.position, why)
        self._metrics.given_up(number, "fenced" if fenced else "doubt")
        del self._open[number]
        self._fetch.stop(number)

        async def reopen() -> None:
            if owned.writing is not None:
                await asyncio.wait([owned.writing])
            await self._let_go(owned, damaged)
            if number in self._assigned and number not in self._opening and number not in self._open:
                self._begin_opening(number, REOPEN_FIRST_S)

        task = asyncio.get_running_loop().create_task(reopen())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # -- feeding

    async def take(self, number: int, records: Records, acknowledge: Callable[[], Any]) -> None:
        """Fold what a fetch brought. Never raises: Faust would acknowledge what was not counted."""
        for start in range(0, len(records.items), RECORDS_A_TURN):
            owned = self._open.get(number)
            if owned is None or records.request != self._fetch.request(number):
                # Read before a gap was found or the partition was opened again: all of it comes again.
                break
            try:
                owned.partition.take(records.items[start : start + RECORDS_A_TURN])
            except Gap as gap:
                self._fill(number, owned, gap.offset, records)
                break
            except Exception as fault:
                self._fault(owned, "folding into", fault)
                break
            if owned.partition.changed_cells >= self._place.checkpoint_cells:
                await self._make_room(owned)
            await asyncio.sleep(0)
        owned = self._open.get(number)
        if owned is not None:
            owned.acks.append((records.offset, acknowledge))

    async def _make_room(self, owned: Owned) -> None:
        if owned.writing is not None:
            await asyncio.wait([owned.writing])
        if self._may_write(owned):
            self._checkpoint(owned)

    def _fill(self, number: int, owned: Owned, offset: int, records: Records) -> None:
        """Read again from the missing record.

        It is gone for good only where Kafka passed it over twice when asked: a record that did not get here on its
        way through Faust comes again.
        """
        is_absent = records.since <= offset
        if is_absent and owned.sought == offset:
            following = next(at for at, _ in records.items if at >= offset)
            log.error("partition %d: beacon records %d to %d are gone from Kafka", number, offset, following - 1)
            owned.partition.skip_to(following)
            offset = following
        owned.sought = offset if is_absent else -1
        self._fetch.start(number, offset)

    async def follow_retention(self) -> None:
        """Go on at the log's start where retention has overtaken the reader; the hole is counted and logged."""
        while self._fetch.out_of_range:
            number = self._fetch.out_of_range.pop()
            owned = self._open.get(number)
            if owned is None:
                continue
            loop = asyncio.get_running_loop()
            try:
                low = await loop.run_in_executor(self._threads, self._fetch.low, number)
            except KafkaException as error:
                log.warning("partition %d: where its log begins is not known: %s", number, error.args[0].str())
                self._fetch.out_of_range.add(number)
                return
            if self._open.get(number) is not owned:
                continue
            wanted = owned.partition.position + 1
            if low > wanted:
                log.error("partition %d: retention took beacon records %d to %d", number, wanted, low - 1)
                owned.partition.skip_to(low)
            else:
                # The topic was created again (opening refuses), a new leader does not know its end yet (it passes), or
                # the log has lost its end, which nothing here can mend.
                topic = self._place.topics.beacons
                self._doubt(number, owned, f"offset {wanted} is beyond the end of topic {topic}: if it stays, rebuild")
                continue
            self._fetch.start(number, owned.partition.position + 1)

    # -- checkpoints

    def checkpoint(self) -> None:
        """Begin the checkpoint of every partition that is due, has something to write and none under way."""
        now = time.monotonic()
        for owned in list(self._open.values()):
            if now >= owned.due and self._may_write(owned):
                self._checkpoint(owned)

    def _may_write(self, owned: Owned) -> bool:
        partition = owned.partition
        return owned.writing is None and partition.is_dirty and not partition.is_healing

    def _checkpoint(self, owned: Owned) -> None:
        owned.begins(time.monotonic(), self._place.checkpoint_s)
        try:
            batch, places = owned.partition.prepare(owned.topic_id, time.time())
        except Exception as fault:
            self._fault(owned, "preparing a checkpoint of", fault)
            return
        owned.writing = asyncio.get_running_loop().create_task(self._write(owned, batch, places))

    async def _write(self, owned: Owned, batch: Batch, places: list[bytes]) -> None:
        number, started = owned.partition.number, time.monotonic()

        def write() -> None:
            offsets = owned.changelog.commit(batch)
            owned.store.apply(batch, places, offsets)

        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, write)
        except Lost as lost:
            owned.writing = None
            self._doubt(number, owned, str(lost), lost.fenced)
            return
        except Exception as fault:
            owned.writing = None
            self._fault(owned, "writing a checkpoint of", fault)
            return
        owned.partition.written(batch)
        owned.writing = None
        self._metrics.wrote(number, batch, time.monotonic() - started)
        done = batch.position.offset
        while owned.acks and owned.acks[0][0] <= done:
            owned.acks.pop(0)[1]()
