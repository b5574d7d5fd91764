"""Live answers: one channel a question; each of its readers gets what changed since its last."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.report import answer
from pipeline.report.desk import Desk, Entry, Gate
from pipeline.report.problem import Refused, TooSlow
from pipeline.report.query import Asked, Query
from pipeline.report.words import PARTNER

log = logging.getLogger(__name__)

Row = dict[str, Any]
RowName = tuple[Any, ...]

# How many changes back a reader may resume; one that was away for longer gets the whole answer.
MOST_VERSIONS = 30
# A range that leans on now is asked for again though nothing has come.
MOVES_SECONDS = 5.0
# And so is what was refused for a while: too many at a time are so without a change.
AGAIN_SECONDS = 5.0
# Statuses of refusals that pass by themselves: busy, not ready.
PASSING = (429, 503)


@dataclass(frozen=True, slots=True)
class Version:
    """The content of an answer at one time; `name` is its digest."""

    name: str
    rows: dict[RowName, Row]
    rest: dict[str, Any]


def version_of(query: Query, entry: Entry, last: Version | None) -> Version:
    """Return the version that an answer is; rows that did not change are kept once."""
    content = orjson.loads(entry.content)
    rows: dict[RowName, Row] = {}
    for row in content.pop("rows"):
        name = tuple(row[column] for column in query.shape.by)
        known = last.rows.get(name) if last else None
        rows[name] = known if known is not None and known == row else row
    return Version(entry.digest, rows, content)


def event(kind: str, data: bytes, name: str = "") -> bytes:
    """Return one server-sent event."""
    identity = f"id: {name}\n" if name else ""
    return f"event: {kind}\n{identity}data: ".encode() + data + b"\n\n"


def change(query: Query, head: dict[str, Any], old: Version, new: Version) -> bytes:
    """Return what turns one version into another: rows to put, names of rows that are gone."""
    by = query.shape.by
    changed = [row for name, row in new.rows.items() if old.rows.get(name) != row]
    gone = [dict(zip(by, name, strict=True)) for name in old.rows if name not in new.rows]
    return orjson.dumps(head | {"rows": changed, "gone": gone} | new.rest)


@dataclass(slots=True)
class Channel:
    """One question, asked again whenever something changes, for all who watch it.

    Attributes:
        asked: the question.
        query, entry, version: the answer of now.
        head: what it covers, as JSON.
        turn: grows when there is something to send.
        failed: why the question cannot be answered any more.
        cut: it ended by a fault of ours: readers are let go, so that they come back.
    """

    asked: Asked
    query: Query
    entry: Entry
    version: Version
    head: bytes
    readers: int = 0
    turn: int = 0
    failed: Refused | None = None
    cut: bool = False
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    versions: deque[Version] = field(default_factory=lambda: deque(maxlen=MOST_VERSIONS))
    task: asyncio.Task[None] | None = None
    _written: dict[str, bytes] = field(default_factory=dict)

    def find(self, name: str | None) -> Version | None:
        """Return a version that is still known."""
        return next((one for one in self.versions if one.name == name), None)

    def take(self, query: Query, entry: Entry, head: bytes) -> None:
        """Take in the answer of now."""
        if entry.digest != self.version.name:
            self.version = version_of(query, entry, self.version)
            self.versions.append(self.version)
        elif head == self.head:
            return
        # A new head too: it is written in every one of them.
        self._written.clear()
        self.query, self.entry, self.head = query, entry, head
        self.wake()

    def fail(self, refused: Refused) -> None:
        """Tell every reader that the question is refused from now on."""
        self.failed = refused
        self.wake()

    def wake(self) -> None:
        """Let every reader look."""
        self.turn += 1
        self.moved.set()
        self.moved = asyncio.Event()

    def since(self, seen: Version | None) -> bytes:
        """Return the event that brings a reader from what it has seen to now."""
        if seen is not None and seen.name == self.version.name:
            return event("fresh", self.head)
        name = seen.name if seen else ""
        if name not in self._written:
            whole = event("answer", self.whole(), self.version.name)
            written = whole
            if seen is not None:
                step = change(self.query, orjson.loads(self.head), seen, self.version)
                part = event("change", step, self.version.name)
                written = part if len(part) < len(whole) else whole
            self._written[name] = written
        return self._written[name]

    def whole(self) -> bytes:
        """Return the whole answer."""
        return self.head[:-1] + b"," + self.entry.content[1:]


async def _within(seconds: float | None, changed: asyncio.Event) -> None:
    """Wait for a change, so long at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()


def _gate(asked: Asked) -> str:
    """Return whose places at the desk a stream takes: by the partners that it shows."""
    return f"live {dict(asked.shape.filters).get(PARTNER)}"


class Live:
    """All channels."""

    def __init__(self, desk: Desk, every_seconds: float) -> None:
        self._desk = desk
        self._every = every_seconds
        self._turns: dict[str, Gate] = {}
        self._channels: dict[Asked, Channel] = {}
        self.readers = 0

    async def join(self, asked: Asked) -> Channel:
        """Return the channel of a question, made where there is none; wait until it can be.

        Raises:
            Refused: the question has no answer.
        """
        if asked not in self._channels:
            query, entry, head = await self._first(asked)
            first = version_of(query, entry, None)
            channel = self._channels.setdefault(asked, Channel(asked, query, entry, first, head))
            if channel.task is None:
                channel.versions.append(first)
                channel.task = asyncio.create_task(self._follow(channel))
        channel = self._channels[asked]
        channel.readers += 1
        self.readers += 1
        return channel

    async def _first(self, asked: Asked) -> tuple[Query, Entry, bytes]:
        # Streams wait for their turn, however many, and for counts: an EventSource that is refused never comes back.
        while True:
            changed = self._desk.changed
            try:
                async with self._turn(asked):
                    return await self._now(asked)
            except Refused as refused:
                if refused.problem.status not in PASSING:
                    raise
            await asyncio.sleep(self._every)
            await _within(AGAIN_SECONDS, changed)

    def leave(self, channel: Channel) -> None:
        """Let a reader go; the last one closes the channel."""
        channel.readers -= 1
        self.readers -= 1
        if channel.readers == 0:
            self._forget(channel)
            if channel.task is not None:
                channel.task.cancel()

    def _forget(self, channel: Channel) -> None:
        # A channel that was cut may have a successor by now.
        if self._channels.get(channel.asked) is channel:
            del self._channels[channel.asked]

    @asynccontextmanager
    async def _turn(self, asked: Asked) -> AsyncIterator[None]:
        """Wait for a turn among the streams that ask for the same partners: nobody waits for another's."""
        name = _gate(asked)
        gate = self._turns.setdefault(name, Gate(asyncio.Semaphore(self._desk.at_a_time)))
        gate.waiting += 1
        try:
            async with gate.running:
                yield
        finally:
            gate.waiting -= 1
            if gate.waiting == 0:
                del self._turns[name]

    async def _now(self, asked: Asked) -> tuple[Query, Entry, bytes]:
        query = asked.at(int(self._desk.clock()))
        fresh = self._desk.freshness(query.until)
        entry = await self._desk.answer(query, _gate(asked))
        return query, entry, orjson.dumps(answer.head(query, fresh))

    async def _follow(self, channel: Channel) -> None:
        while True:
            changed, most = self._desk.changed, MOVES_SECONDS if channel.asked.moves else None
            try:
                async with self._turn(channel.asked):
                    channel.take(*await self._now(channel.asked))
            except TooSlow:
                # Not at the next change: it would hold a reader all the time.
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            except Refused as refused:
                if refused.problem.status not in PASSING:
                    channel.fail(refused)
                    return
                most = AGAIN_SECONDS
            except Exception:
                log.exception("a live answer has ended by a fault")
                self._forget(channel)
                channel.cut = True
                channel.wake()
                return
            await asyncio.sleep(self._every)
            await _within(most, changed)

    def wake_all(self) -> None:
        """Let every reader of every channel look."""
        for channel in self._channels.values():
            channel.wake()

    async def close(self) -> None:
        """Stop every channel."""
        tasks = [channel.task for channel in self._channels.values() if channel.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
