"""A whole report on loopback without Kafka: records are put into it by the test."""

from __future__ import annotations

import asyncio
import hashlib
import queue
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from yarl import URL

from ingest.beacon import Beacon
from ingest.tracing import Spans
from ingest.wire import encode
from pipeline.report.auth import Key
from pipeline.report.behind import Told
from pipeline.report.config import ReportSettings
from pipeline.report.counted import question
from pipeline.report.feed import Feed, StartAgain
from pipeline.report.front import serve
from pipeline.report.keyfile import KeyFile, save
from pipeline.report.problem import Refused
from pipeline.report.readers import Readers
from pipeline.report.readmodel import Identity, ReadModel
from pipeline.report.record import Record
from pipeline.report.scan import Looked, Stretch, Take
from pipeline.report.server import end, listen
from pipeline.report.site import Log, Site, build

T = 1_795_424_400  # a whole hour
SECRET = b"s" * 32


@dataclass
class FakeSource:
    """A topic in memory: keeps every record, like a log that nothing is compacted in."""

    topic: str = "topic-1"
    log: list[Record] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    arrived: queue.Queue[Record | None] = field(default_factory=queue.Queue)
    at_end: bool = False
    away: bool = False
    started_from: list[dict[int, int]] = field(default_factory=list)

    def put(self, partition: int, key: bytes, value: bytes | None) -> None:
        record = Record(partition, self.ends.get(partition, 0), key, value)
        self.ends[partition] = record.offset + 1
        self.log.append(record)
        self.arrived.put(record)

    def identity(self) -> Identity:
        if self.away:
            raise StartAgain("away")
        return Identity(self.topic, dict(self.ends))

    def start(self, next_offsets: dict[int, int]) -> None:
        self.started_from.append(dict(next_offsets))
        self.arrived = queue.Queue()
        for record in self.log:
            if record.offset >= next_offsets.get(record.partition, 0):
                self.arrived.put(record)
        self.at_end = False

    def poll(self) -> list[Record]:
        if self.away:
            raise StartAgain("away")
        found = []
        try:
            first = self.arrived.get(timeout=0.02)
            found += [first] if first is not None else []
            while True:
                more = self.arrived.get_nowait()
                found += [more] if more is not None else []
        except queue.Empty:
            self.at_end = True
        return found

    def caught_up(self) -> bool:
        return self.at_end

    def close(self) -> None:
        self.at_end = False


@dataclass
class FakeBeacons:
    """Topic `beacons` in memory: (partition, offset, Kafka's time in ms, value), as they came."""

    log: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    refuse: Refused | None = None
    looking: threading.Event = field(default_factory=threading.Event)
    go: threading.Event | None = None
    stretch: Stretch | None = None

    def put(self, beacon: Beacon, part: int = 0, waited: int = 0) -> None:
        offset = sum(one[0] == part for one in self.log)
        self.log.append((part, offset, beacon.time + waited, encode(beacon)))

    def look(self, stretch: Stretch, take: Take, stop: threading.Event) -> Looked:
        self.stretch = stretch
        self.looking.set()
        if self.go is not None:
            while not stop.is_set() and not self.go.wait(0.01):
                pass
        if self.refuse is not None:
            raise self.refuse
        looked = Looked(stretch.since_ms, stretch.until_ms)
        for part, offset, stored, value in self.log:
            if stretch.since_ms <= stored < stretch.until_ms and offset <= stretch.counted.get(part, -1):
                take(part, offset, stored, value)
                looked.records += 1
        return looked


def row_key(partner: str, entry: str | None, start: int, window: str = "1m", partition: int = 0) -> bytes:
    key: dict[str, Any] = {"window": window, "start": start, "set": "partner", "partnerId": partner}
    if entry is not None:
        key |= {"set": "entry", "entryId": entry}
    return orjson.dumps(key | {"partition": partition})


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Stage:
    """The parts of a running report, and what a test does to it."""

    site: Site
    source: FakeSource
    feed: Feed
    beacons: FakeBeacons
    url: str
    http: aiohttp.ClientSession
    keys: Path | None
    offsets: dict[int, int] = field(default_factory=dict)

    def row(self, partner: str, entry: str | None, start: int, window: str = "1m", part: int = 0, **sums: int) -> None:
        """Put a row, as it is from now on, into the topic."""
        self.source.put(part, row_key(partner, entry, start, window, part), orjson.dumps(sums | {"offset": 0}))

    def kept(self, name: str, start: int, values: dict[str, str], sums: dict[str, int], window: str = "1m") -> None:
        """Put a row of any set into the topic; values: of its dimensions."""
        key = {"window": window, "start": start, "set": name, **values, "partition": 0}
        self.source.put(0, orjson.dumps(key), orjson.dumps(sums | {"offset": 0}))

    def play(self, partner: str, entry: str, start: int, plays: int, part: int = 0) -> None:
        """Put the rows of one entry and its partner, in every window."""
        for window, size in (("10s", 10), ("1m", 60), ("1h", 3600)):
            for name in (entry, None):
                self.row(partner, name, start // size * size, window, part, plays=plays, views=2 * plays)

    async def checkpoint(self, part: int = 0, time: int = T * 1000) -> None:
        """Put the position that ends a checkpoint, and wait until it is applied."""
        self.offsets[part] = self.offsets.get(part, -1) + 1
        value = {"offset": self.offsets[part], "time": time, "ledger": {"beacons": self.offsets[part] + 1}}
        self.source.put(part, b'{"position":%d}' % part, orjson.dumps(value))
        await self.until(lambda: self.applied_offset(part) == self.offsets[part])

    def applied_offset(self, part: int) -> int:
        applied = self.site.desk.applied
        found = applied.positions.get(part) if applied else None
        return found.offset if found else -1

    def counted(self, through: int, held: dict[str, int] | None = None, ends: dict[int, int] | None = None) -> None:
        """Let Kafka say at `through` (ms) that nothing but what is counted is there."""
        there = {part: offset + 1 for part, offset in self.offsets.items()} if ends is None else ends
        self.site.desk.on_question(question(through, {}, there, held or {}, ""))

    async def until(self, true: Any) -> None:
        """Wait for a condition; what changes it wakes the desk."""
        async with asyncio.timeout(60):
            while not true():
                changed = self.site.desk.changed
                if not true():
                    await changed.wait()

    async def send(self, method: str, path: str, **more: Any) -> Answer:
        """Return a whole answer."""
        url = URL(self.url + path, encoded=True)
        async with self.http.request(method, url, allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Answer:
        """Return a whole answer to GET."""
        return await self.send("GET", path, **more)

    async def json(self, path: str, **more: Any) -> Any:
        """Return the JSON of an answer to GET."""
        return (await self.get(path, **more)).json


def write_keys(path: Path, owners: dict[str, str | None]) -> dict[str, dict[str, str]]:
    """Write a key for each name; return the headers that present it."""
    ring = {n: Key(n, p, hashlib.sha256(f"secret-{n}".encode()).digest()) for n, p in owners.items()}
    save(path, ring)
    return {name: {"Authorization": f"Bearer {name}.secret-{name}"} for name in owners}


@asynccontextmanager
async def report(
    folder: Path,
    source: FakeSource | None = None,
    keys: Path | None = None,
    spans: Spans | None = None,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """Run a report; leave nothing behind."""
    source = source or FakeSource()
    told = ReportSettings(keys=keys, live_every_ms=50, **settings)
    store = folder / "report.sqlite"

    def alive() -> bool:
        return feed.alive()

    def doubt(generation: int) -> None:
        feed.doubt(generation)

    readers = Readers(store, 2, told.deadline_ms / 1000, doubt)
    beacons = FakeBeacons()
    ring = None if keys is None else KeyFile(keys)

    site = build(told, readers, ring, SECRET, alive, Log(beacons, Told(by_pair=False, horizon_s=86_400)), spans)
    loop = asyncio.get_running_loop()
    feed = Feed(
        source, ReadModel(store), lambda applied: loop.call_soon_threadsafe(site.desk.on_applied, applied) and None
    )
    feed.start()
    site.desk.clock = lambda: T + 5000.5
    runner = serve(site.front, max_line_size=65_536)
    port = await listen(runner, "127.0.0.1", 0)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        stage = Stage(site, source, feed, beacons, f"http://127.0.0.1:{port}", http, keys)
        try:
            if not source.away:
                await stage.until(lambda: site.desk.applied is not None and site.desk.applied.caught_up)
            yield stage
        finally:
            await end(runner, site, readers)
            await asyncio.to_thread(feed.stop)
