"""One ingest process: its parts, its four looks around a second, its start and its orderly stop."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from time import time, time_ns

from confluent_kafka import KafkaException

from ingest.address import Addresses, networks
from ingest.answers import Page
from ingest.config import Config
from ingest.connection import Connection
from ingest.desk import Desk, Room
from ingest.drain import Drain, Orphans
from ingest.heartbeat import Heartbeat
from ingest.ladder import Ladder
from ingest.machine import CannotStart, connections_allowed
from ingest.metrics import Ledger, exposition
from ingest.packer import Bounds
from ingest.reading import Reading
from ingest.segments import Folder, Segments
from ingest.sink import Sink
from ingest.spool import Spool, SpoolRoom
from ingest.tracing import Spans
from ingest.waiting import Limits

log = logging.getLogger("ingest")

_TICK_SECONDS = 0.25
_BEAT_SECONDS = 1.0
_TOPICS_EVERY_SECONDS = 30.0
_KAFKA_SEEN_SECONDS = 10.0
_CLOCK_STEP_SECONDS = 1.0
_FINISH_SECONDS = 7.0
_LAST_WORD_SECONDS = 2.0
_LAST_REQUEST_SECONDS = 1.0
_PARTS_END_SECONDS = 2.0


class Process:
    """The parts of one ingest process, between its start and its stop."""

    def __init__(
        self, config: Config, folder: Folder, segments: Segments, sink: Sink, spans: Spans | None = None
    ) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._folder = folder
        self._sink = sink
        self._ready = False
        self._topics_looked_at = self._looked_around = self._beaten = self._loop.time()
        self._clock_offset = time() - self._loop.time()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._looking: asyncio.Task[None] | None = None
        room = _spool_room(config)
        self.ledger = Ledger(
            spool_max_bytes=room.bytes,
            spool_damaged=segments.damaged,
            spool_repeated=segments.repeated,
            spool_cut_bytes=segments.cut_bytes,
        )
        self._segments = segments
        self._spans = spans or Spans()
        self._away_since_ns = time_ns()
        self._spool = Spool(segments, room, self.ledger)
        self._ladder = Ladder(
            sink, self._spool, self.ledger, config.ingest_kafka_ms / 1000, config.ingest_answer_ms / 1000
        )
        self.name = folder.ingest_id(folder.path.name if config.ingest_id else "")
        self._heartbeat = Heartbeat(sink, self._ladder.circuit, self.name, self._spool.since, time)
        self._desk = self._make_desk(config)
        self._drain = Drain(
            sink,
            self._kafka_answers,
            self.ledger,
            config.partitions,
            config.ingest_drain_kib_per_second << 10,
            self._spans,
        )

    def _make_desk(self, config: Config) -> Desk:
        waiting_bytes = config.ingest_waiting_mib << 20
        return Desk(
            ladder=self._ladder,
            ledger=self.ledger,
            bounds=Bounds(config.ingest_pack_kib << 10, config.ingest_pack_beacons, config.ingest_linger_ms / 1000),
            partitions=config.partitions,
            room=Room(
                connections_allowed(config.ingest_connections),
                waiting_bytes,
                waiting_bytes,
            ),
            reading=Reading(
                Addresses(networks(config.ingest_trusted_proxies), config.ingest_address == "full"),
                time,
                secrets.token_hex(6),
                config.ingest_body_bytes,
            ),
            pages=self._page,
            clock=time,
        )

    async def start(self, number: int = 0) -> int:
        """Look at Kafka, sign on, listen; return the port. Without Kafka it serves from the spool.

        `number` tells the processes of one parent apart.
        """
        await self._look_at_topics(first=True)
        if not self._sink.topics_doubtful:
            # Signed on before the first answer, so that the report never counts past what is in our hands.
            await self._wait(self._heartbeat.beat().done, self._loop.time() + _LAST_WORD_SECONDS)
        self._start_task(self._look_around())
        self._start_task(self._drain_own())
        self._start_task(
            Orphans(
                self._config.spool_dir,
                self._config.ingest_spool_segment_kib << 10,
                self._drain,
                self._sign_off,
            ).watch()
        )
        config = self._config
        port = await self._listen(config.ingest_port, shared=config.ingest_processes > 1)
        if config.ingest_admin_port:
            await self._listen(config.ingest_admin_port + number, admin=True)
        self._ready = True
        return port

    async def _listen(self, port: int, *, shared: bool = False, admin: bool = False) -> int:
        config = self._config
        limits = Limits(
            config.ingest_line_bytes,
            config.ingest_header_bytes,
            config.ingest_body_bytes,
            config.ingest_header_seconds,
            config.ingest_body_seconds,
            config.ingest_idle_seconds,
        )
        try:
            server = await self._loop.create_server(
                lambda: Connection(self._loop, self._desk, limits, admin=admin),
                config.ingest_host,
                port,
                backlog=1024,
                reuse_port=shared,
            )
        except OSError as error:
            raise CannotStart(f"port {port} on {config.ingest_host}: {error.strerror or error}") from error
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Answer what was read, put everything into Kafka or the spool, sign off."""
        self._ready = False
        await asyncio.sleep(self._config.ingest_stop_delay_seconds)
        for server in self._servers:
            server.close()
        until = self._loop.time() + _FINISH_SECONDS
        # A client about to ask on an open connection is answered; closed at once, it would have to ask again.
        self._desk.drain(idle_too=False)
        await self._wait(lambda: not self._desk.connections, self._loop.time() + _LAST_REQUEST_SECONDS)
        self._desk.drain(idle_too=True)
        await self._wait(lambda: not self._desk.connections, until)
        for connection in list(self._desk.connections):
            connection.cut()
        await self._wait(lambda: not self.ledger.waiting, until + 1)
        await self._end_parts()
        await self._spool.close()
        if self._kafka_answers():
            word = self._heartbeat.beat() if self._spool.since() else self._heartbeat.sign_off(self.name)
            await self._wait(word.done, self._loop.time() + _LAST_WORD_SECONDS)
        self._folder.release()

    async def _end_parts(self) -> None:
        """Cancel what looks after the promises; one that does not end must not hold the others' stop up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, running = await asyncio.wait(tasks, timeout=_PARTS_END_SECONDS)
            for task in running:
                log.error("part_not_ended part=%s", getattr(task.get_coro(), "__qualname__", "unknown"))

    def _start_task(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_fault)
        return task

    async def _wait(self, done: Callable[[], bool], until: float) -> None:
        while not done() and self._loop.time() < until:
            self._sink.poll()
            await asyncio.sleep(0.01)

    async def _sign_off(self, name: str) -> None:
        while not await self._heartbeat.sign_off(name):
            log.info("sign_off_waits name=%s", name)
            await asyncio.sleep(1)

    async def _drain_own(self) -> None:
        while True:
            await self._drain.empty(self._segments, self._spool.seal)
            await asyncio.sleep(0.1)

    def _kafka_answers(self) -> bool:
        return self._ladder.circuit.closed and not self._sink.topics_doubtful

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._sink.poll()
            now = self._loop.time()
            self._desk.tick(now - self._looked_around)
            self._looked_around = now
            self._look_at_clock(now)
            self._spool.look_again()
            ledger = self.ledger
            self._look_at_kafka()
            ledger.opened = self._ladder.circuit.opened
            ledger.spool_bytes = self._segments.bytes()
            ledger.spool_since_ms = self._spool.since()
            if now - self._beaten >= _BEAT_SECONDS:
                self._beaten = now
                self._heartbeat.beat()
                every = _BEAT_SECONDS if self._sink.topics_doubtful else _TOPICS_EVERY_SECONDS
                if now - self._topics_looked_at >= every and (self._looking is None or self._looking.done()):
                    self._looking = self._start_task(self._look_at_topics(first=False))

    def _look_at_kafka(self) -> None:
        is_open = int(not self._kafka_answers())
        if is_open and not self.ledger.kafka_open:
            log.warning("kafka_away beacons go to the spool, last_error=%s", self._sink.last_error)
            self._away_since_ns = time_ns()
        elif self.ledger.kafka_open and not is_open:
            log.info("kafka_back spool_bytes=%d", self._segments.bytes())
            self._spans.ended("ingest.without_kafka", self._away_since_ns, {"spool_bytes": self._segments.bytes()})
        self.ledger.kafka_open = is_open

    def _look_at_clock(self, now: float) -> None:
        offset = time() - now
        if abs(offset - self._clock_offset) > _CLOCK_STEP_SECONDS:
            self.ledger.clock_jumps += 1
            log.warning("clock_stepped seconds=%.3f", offset - self._clock_offset)
        self._clock_offset = offset

    async def _look_at_topics(self, first: bool) -> None:
        try:
            wrong = await asyncio.to_thread(self._sink.look_at_topics, 3.0)
        except KafkaException as error:
            if first:
                # What its client has heard of Kafka says more than that it did not answer: which host, and why.
                self._sink.poll()
                said = self._sink.last_error
                why = error.args[0].name() if said == "none" else said
                log.warning("kafka_away beacons go to the spool, last_error=%s", why)
                self.ledger.kafka_open = 1
        else:
            if wrong is not None:
                if first:
                    raise CannotStart(wrong.line)
                self._sink.topics_doubtful = True
                log.error("%s", wrong.line)
        self._topics_looked_at = self._loop.time()

    def _page(self, path: str) -> Page | None:
        if path == "/health":
            return Page("200 OK", "ok\n")
        if path == "/ready":
            return Page("200 OK", "ready\n") if self._is_ready() else Page("503 Service Unavailable", "not ready\n")
        if path == "/metrics":
            text = exposition(self.ledger, int(time() * 1000))
            return Page("200 OK", text, "text/plain; version=0.0.4; charset=utf-8")
        return None

    def _is_ready(self) -> bool:
        seen = self._loop.time() - self._ladder.circuit.seen() < _KAFKA_SEEN_SECONDS
        return self._ready and (seen or self._spool.has_room())


def _fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        # A part that looks after the promises is gone: die loudly, the supervisor starts a new process.
        log.critical("part_failed", exc_info=error)
        raise SystemExit(1)


def _spool_room(config: Config) -> SpoolRoom:
    share = (config.ingest_spool_max_mib << 20) // config.ingest_processes
    return SpoolRoom(share, config.ingest_spool_min_free_mib << 20)
