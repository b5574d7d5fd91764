"""An ingest in this process on a free port, before a Kafka that does what the test says; and a raw client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from ingest.beacon import Beacon
from ingest.config import Config
from ingest.machine import claim_folder
from ingest.process import Process
from ingest.segments import Segments
from ingest.sink import WrongTopic
from ingest.tracing import Spans
from ingest.wire import decode

Delivered = Callable[[str | None], None]


class Mood(Enum):
    """What Kafka does with the records it gets."""

    TAKES = "acknowledges at the next poll"
    SILENT = "takes them and says nothing"
    FAILS = "gives each up with an error"
    FULL = "does not take them"


class FakeKafka:
    """Stands for the sink: keeps what it acknowledged."""

    def __init__(self) -> None:
        self.mood = Mood.TAKES
        # For heartbeats, if it is another one.
        self.beat_mood: Mood | None = None
        self.refused = 0
        self.topics_doubtful = True
        self.wrong_topic: WrongTopic | None = None
        self.away = False
        self.last_error = "none"
        self.records: list[tuple[int, bytes]] = []
        self.beats: list[tuple[bytes, bytes | None]] = []
        self._due: list[tuple[Callable[[], None], Delivered]] = []
        self.held: list[tuple[Callable[[], None], Delivered]] = []

    def send(self, partition: int, value: bytes, delivered: Delivered) -> bool:
        return self._take(self.mood, lambda: self.records.append((partition, value)), delivered)

    def beat(self, key: bytes, value: bytes | None, delivered: Delivered) -> bool:
        return self._take(self.beat_mood or self.mood, lambda: self.beats.append((key, value)), delivered)

    def _take(self, mood: Mood, keep: Callable[[], None], delivered: Delivered) -> bool:
        match mood:
            case Mood.FULL:
                return False
            case Mood.SILENT:
                self.held.append((keep, delivered))
            case Mood.FAILS:
                self._due.append((lambda: None, lambda _: delivered("_MSG_TIMED_OUT")))
                self.refused += 1
            case Mood.TAKES:
                self._due.append((keep, delivered))
        return True

    def poll(self) -> None:
        due, self._due = self._due, []
        for keep, delivered in due:
            keep()
            delivered(None)

    def release(self) -> None:
        """Acknowledge, late, what was held."""
        self._due, self.held = self._due + self.held, []

    def look_at_topics(self, seconds: float) -> WrongTopic | None:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        self.topics_doubtful = self.wrong_topic is not None
        return self.wrong_topic

    def beacons(self) -> list[Beacon]:
        """Every acknowledged beacon, in the order of acknowledgement."""
        return [decode(line) for _, value in self.records for line in value.split(b"\n")]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Line:
    """A running ingest."""

    process: Process
    kafka: FakeKafka
    port: int
    config: Config
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _stopping: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Stop in order, once, however often it is asked."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self.process.stop())
        # Far more than it takes: a stop that does not end is a fault to see, not to wait for.
        async with asyncio.timeout(60):
            await asyncio.shield(self._stopping)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def send(self, raw: bytes) -> Answer | None:
        """Send bytes on a connection of their own; return the first answer, None if there was none."""
        reader, writer = await self.connect()
        writer.write(raw)
        try:
            return await read_answer(reader, to_head=raw.startswith(b"HEAD "))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        finally:
            writer.close()

    async def get(self, target: str, headers: str = "") -> Answer:
        answer = await self.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
        assert answer is not None
        return answer

    async def close_clients(self) -> None:
        for writer in self._writers:
            writer.close()


async def read_answer(reader: asyncio.StreamReader, *, to_head: bool = False) -> Answer:
    """Read one answer, or raise IncompleteReadError."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    first, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = b"" if to_head else await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(first.split(" ")[1]), headers, body)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def ends(reader: asyncio.StreamReader, seconds: float = 30) -> bool:
    """Tell whether the other end closes within this time, without another byte."""
    try:
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@asynccontextmanager
async def ingest_line(
    folder: Path, kafka: FakeKafka | None = None, spans: Spans | None = None, **settings: Any
) -> AsyncIterator[Line]:
    """Run an ingest on a free port with its spool in this folder."""
    line = await started(folder, kafka or FakeKafka(), spans, **settings)
    try:
        yield line
    finally:
        await line.close_clients()
        await line.stop()


async def started(folder: Path, kafka: FakeKafka, spans: Spans | None = None, **settings: Any) -> Line:
    """Start an ingest."""
    config = Config(**({"data_dir": folder, "ingest_port": 0, "ingest_spool_min_free_mib": 0} | settings))
    spool = claim_folder(config.spool_dir, config.ingest_id or "ingest")
    segments = Segments(spool.path, config.ingest_spool_segment_kib << 10)
    segments.recover()
    process = Process(config, spool, segments, kafka, spans)  # type: ignore[arg-type]
    return Line(process, kafka, await process.start(), config)


def metrics(line: Line, *names: str) -> tuple[int, ...]:
    return tuple(getattr(line.process.ledger, name) for name in names)


async def sent(line: Line, first: int, last: int) -> list[Answer | None]:
    requests = (f"GET /collect?sessionId=s{n}&n={n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(first, last + 1))
    return list(await asyncio.gather(*(line.send(request.encode()) for request in requests)))


def statuses(answers: list[Answer | None]) -> set[int]:
    return {answer.status if answer else 0 for answer in answers}


def numbers(line: Line) -> list[int]:
    return sorted(int(beacon.query.rpartition(b"=")[2]) for beacon in line.kafka.beacons())


def segment_files(folder: Path) -> list[Path]:
    return list(folder.glob("spool/*/*.seg"))
