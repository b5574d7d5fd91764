"""Where questions are answered: from memory while nothing they cover has changed, else from SQLite, once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from multidict import CIMultiDict

from pipeline.report import answer, cover, sql
from pipeline.report.answer import Freshness
from pipeline.report.counted import Counted, Question
from pipeline.report.feed import Applied
from pipeline.report.problem import Problem, Refused
from pipeline.report.query import Query
from pipeline.report.readers import NOT_YET, Read
from pipeline.report.revisions import Revisions
from pipeline.report.sql import Statement
from pipeline.report.words import PARTNER, Format

Key = tuple[str, int, int]
# Which question, of which generation and revision: revisions repeat in a new file.
Reading = tuple[Key, int, int]
# Whether it goes out whole and not as a 304, and whether its range leans on now.
Kind = tuple[bool, bool]


class Asks(Protocol):
    """What reads the store."""

    async def ask(self, statement: Statement, generation: int) -> Read:
        """Return what a statement finds."""


@dataclass(slots=True)
class Entry:
    """One answer in memory.

    Attributes:
        content: what its rows say, as JSON; bytes of CSV where that is asked for.
        digest: of the content: equal content, equal digest, in every report there is.
        revision: of the store, up to which nothing it covers has changed.
        reads: the windows whose rows it is made of, each with the first block's start.
        rows: how many its content shows.
        fresh, body, etag: the whole answer as it was last written.
        headers: that go with each kind of it; the one who answers keeps them here.
    """

    generation: int
    revision: int
    reads: tuple[tuple[str, int], ...]
    partners: tuple[str | None, ...]
    content: bytes
    digest: str
    rows: int = 0
    fresh: Freshness | None = None
    body: bytes = b""
    etag: str = ""
    headers: dict[Kind, CIMultiDict[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Gate:
    """The places of one key: so many questions at a time, so many waiting."""

    running: asyncio.Semaphore
    waiting: int = 0


@dataclass(slots=True)
class Counts:
    """How questions were answered."""

    hits: int = 0
    misses: int = 0
    busy: int = 0
    rows: int = 0
    unreadable: int = 0


def digest_of(content: bytes) -> str:
    """Return a short digest of an answer."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


BUSY = Problem(
    429,
    "busy",
    "Too many questions at a time.",
    "Wait for the answers under way.",
    headers={"Retry-After": "1"},
)


@dataclass(slots=True)
class Desk:
    """Lives in the event loop; threads hand it what they found.

    Attributes:
        readers: what reads the store.
        cache_bytes: memory for answers.
        at_a_time, most_waiting: questions of one key.
        clock: Unix seconds of now.
    """

    readers: Asks
    cache_bytes: int
    at_a_time: int = 2
    most_waiting: int = 32
    clock: Callable[[], float] = time.time
    counts: Counts = field(default_factory=Counts)
    applied: Applied | None = None
    counted: Counted = field(default_factory=Counted)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _revisions: Revisions = field(default_factory=Revisions)
    _entries: OrderedDict[Key, Entry] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _under_way: dict[Reading, asyncio.Task[Entry]] = field(default_factory=dict)
    _gates: dict[str, Gate] = field(default_factory=dict)

    def on_applied(self, applied: Applied) -> None:
        """Take note of a batch."""
        if self.applied is None or applied.generation != self.applied.generation:
            self._revisions = Revisions()
            self._entries.clear()
            self._bytes = 0
            if not applied.complete:
                self.counted.forget()
        self.applied = applied
        self._revisions.note(applied.blocks, applied.revision)
        self.counts.rows += applied.rows
        self.counts.unreadable += applied.unreadable
        self.counted.answer(applied.positions)
        self._wake()

    def on_question(self, asked: Question) -> None:
        """Take note of what Kafka holds."""
        self.counted.ask(asked)
        if self.applied is not None:
            self.counted.answer(self.applied.positions)
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def freshness(self, until: int) -> Freshness:
        """Return the freshness of an answer that is read from now on."""
        return answer.freshness(self.counted.through, int(self.clock()) * 1000, until)

    def ready(self) -> bool:
        """Tell whether the store holds a whole reading of the topic."""
        return self.applied is not None and self.applied.complete

    async def answer(self, query: Query, key: str) -> Entry:
        """Return the answer to a query, its body and ETag as they are now."""
        fresh = self.freshness(query.until)
        entry = self.held(query)
        if entry is None:
            entry = await self._once(query, key)
        else:
            self.counts.hits += 1
        if entry.fresh != fresh:
            self._write(query, entry, fresh)
        return entry

    def held(self, query: Query) -> Entry | None:
        """Return the answer from memory, if nothing it covers has changed."""
        name = (query.shape.key, query.since, query.until)
        entry = self._entries.get(name)
        applied = self.applied
        if entry is None or applied is None:
            return None
        if entry.revision < applied.revision:
            if any(
                self._revisions.changed_since(entry.revision, entry.partners, window, since, query.until)
                for window, since in entry.reads
            ):
                return None
            entry.revision = applied.revision
        self._entries.move_to_end(name)
        return entry

    def _write(self, query: Query, entry: Entry, fresh: Freshness) -> None:
        if query.shape.format is Format.CSV:
            entry.body = entry.content
            entry.etag = f'"{entry.digest}"'
        else:
            entry.body = answer.json_body(query, fresh, entry.content)
            entry.etag = f'"{digest_of(entry.body)}"'
        entry.fresh = fresh
        entry.headers.clear()

    async def _once(self, query: Query, key: str) -> Entry:
        """Ask the store; the same question at the same time is asked once.

        Only of one revision: who asks later may be promised more than an earlier reading holds.
        """
        applied = self.applied
        if applied is None or not applied.complete:
            raise Refused(NOT_YET)
        name = ((query.shape.key, query.since, query.until), applied.generation, applied.revision)
        task = self._under_way.get(name)
        if task is None:
            self.counts.misses += 1
            task = asyncio.create_task(self._ask(query, key, applied))
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._over(name, done))
        return await asyncio.shield(task)

    def _over(self, name: Reading, done: asyncio.Task[Entry]) -> None:
        self._under_way.pop(name, None)
        # All who asked may be gone by now: a refusal that nobody hears is no fault.
        if not done.cancelled():
            done.exception()

    async def _ask(self, query: Query, key: str, applied: Applied) -> Entry:
        statement = sql.statement(query)
        read = await self._in_turn(statement, applied.generation, key)
        if self.applied is None or self.applied.generation != applied.generation:
            # Built again while this waited: it may have read the new file, and the promise is of the old one.
            raise Refused(NOT_YET)
        content = await asyncio.to_thread(self._content, query, read)
        since = statement.before[0] if statement.before else query.since
        partners: tuple[str | None, ...] = dict(query.shape.filters).get(PARTNER, (None,))
        entry = Entry(
            applied.generation,
            read.revision,
            cover.reads(query, since),
            partners,
            content,
            digest_of(content),
            len(read.table.rows),
        )
        if self.applied is not None and self.applied.generation == applied.generation:
            self._keep((query.shape.key, query.since, query.until), entry)
        return entry

    @staticmethod
    def _content(query: Query, read: Read) -> bytes:
        answer.check_whole(query, read.table)
        found: dict[str, Any] = answer.content(query, read.table)
        return answer.csv_body(query, found) if query.shape.format is Format.CSV else orjson.dumps(found)

    async def _in_turn(self, statement: Statement, generation: int, key: str) -> Read:
        gate = self._gates.setdefault(key, Gate(asyncio.Semaphore(self.at_a_time)))
        if gate.waiting >= self.most_waiting + self.at_a_time:
            self.counts.busy += 1
            raise Refused(BUSY)
        gate.waiting += 1
        try:
            async with gate.running:
                return await self.readers.ask(statement, generation)
        finally:
            gate.waiting -= 1
            if gate.waiting == 0:
                self._gates.pop(key, None)

    def _keep(self, name: Key, entry: Entry) -> None:
        old = self._entries.pop(name, None)
        self._bytes += _size(name, entry) - (_size(name, old) if old else 0)
        self._entries[name] = entry
        while self._bytes > self.cache_bytes and self._entries:
            first, gone = self._entries.popitem(last=False)
            self._bytes -= _size(first, gone)


def _size(name: Key, entry: Entry) -> int:
    # The question, its content and the body written from it; and what Python needs around them.
    return len(name[0]) + 2 * len(entry.content) + 1000
