"""The report process: settings, threads, the open port, and an orderly end."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import uvloop
from aiohttp import web

from ingest.tracing import Spans
from pipeline.changelog import Topics
from pipeline.config import KafkaSettings, LineSettings, RefusedSetting, WorkerSettings, read_settings
from pipeline.logs import set_up_logs
from pipeline.report.access import loopback
from pipeline.report.auth import BrokenKeys
from pipeline.report.behind import Told
from pipeline.report.config import ReportSettings
from pipeline.report.feed_process import FeedProcess, run_feed
from pipeline.report.front import serve
from pipeline.report.kafka_source import WindowsSource
from pipeline.report.keyfile import KeyFile
from pipeline.report.readers import Readers
from pipeline.report.scan import KafkaBeacons
from pipeline.report.site import Log, Site, build, session_secret
from pipeline.report.watch import Watch
from pipeline.traced import process_spans

log = logging.getLogger(__name__)

POLL_KEYS_SECONDS = 1.0

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the process is told."""

    kafka: KafkaSettings
    line: LineSettings
    report: ReportSettings
    worker: WorkerSettings

    @classmethod
    def read(cls) -> Settings:
        """Return what the environment says."""
        return cls(*(read_settings(kind) for kind in (KafkaSettings, LineSettings, ReportSettings, WorkerSettings)))

    def log(self) -> Log:
        """Return topic `beacons`, read as the worker reads it."""
        topic = Topics.of(self.line.topic_prefix, self.line.state).beacons
        beacons = KafkaBeacons(self.kafka.librdkafka(), topic, self.report.scan_deadline_ms / 1000)
        return Log(beacons, Told(self.worker.dedupe_by == "pair", self.worker.dedupe_horizon_s))

    @property
    def store(self) -> Path:
        """Return the SQLite file."""
        return self.report.store or self.line.data_dir / "report" / "report.sqlite"

    @property
    def session_key(self) -> Path:
        """Return the file that signs sessions."""
        return self.report.session_key or self.store.with_name("session.key")


def main() -> None:
    """Run a report until SIGTERM or SIGINT."""
    settings = Settings.read()
    set_up_logs(settings.line.log_format)
    keys = open_keys(settings.report)
    spans = process_spans("report")
    try:
        raise SystemExit(uvloop.run(_run(settings, keys, spans)))
    finally:
        spans.close()


def feed_main() -> None:
    """Run the part of a report that takes rows in, for the report that started it."""
    settings = Settings.read()
    set_up_logs(settings.line.log_format)
    topic = Topics.of(settings.line.topic_prefix, settings.line.state).windows
    run_feed(WindowsSource(settings.kafka.librdkafka(), topic), settings.store)


def open_keys(settings: ReportSettings) -> KeyFile | None:
    """Return the key file, or None for a report that is open to this machine.

    Raises:
        RefusedSetting: there is no use in starting like this.
    """
    if settings.keys is None:
        if not loopback(settings.host):
            raise RefusedSetting(f"REPORT_HOST={settings.host} shows every partner to everybody: set REPORT_KEYS")
        return None
    try:
        return KeyFile(settings.keys)
    except (OSError, BrokenKeys) as error:
        raise RefusedSetting(f"REPORT_KEYS={settings.keys} cannot be used: {error}") from error


class Sources:
    """Feed and watch, a process and a thread; what they find is handed to the event loop."""

    def __init__(self, settings: Settings, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        options = settings.kafka.librdkafka()
        topics = Topics.of(settings.line.topic_prefix, settings.line.state)

        def to_loop(take: Callable[[Said], None]) -> Callable[[Said], None]:
            def hand_over(said: Said) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(take, said)

            return hand_over

        self.feed = FeedProcess(to_loop(site.desk.on_applied))
        self.watch = Watch(options, topics.beacons, topics.ingests, to_loop(site.desk.on_question))
        self._started = False

    def start(self) -> None:
        """Start both."""
        self.feed.start()
        self.watch.start()
        self._started = True

    def alive(self) -> bool:
        """Tell whether both run."""
        return self._started and self.feed.alive() and self.watch.alive()

    def stop(self) -> None:
        """Stop both and wait."""
        self.watch.ask_to_stop()
        self.feed.stop()
        self.watch.stop()


async def _run(settings: Settings, keys: KeyFile | None, spans: Spans) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    report = settings.report
    running: list[Sources] = []

    def doubt(generation: int) -> None:
        running[0].feed.doubt(generation)

    readers = Readers(settings.store, report.readers, report.deadline_ms / 1000, doubt)
    secret = session_secret(settings.session_key)
    site = build(report, readers, keys, secret, lambda: bool(running) and running[0].alive(), settings.log(), spans)
    runner = serve(site.front, max_line_size=65_536)
    with only_one(settings.store):
        await listen(runner, report.host, report.port)
        sources = Sources(settings, site, loop)
        running.append(sources)
        sources.start()
        try:
            failed = await _until_stopped(stop, site, sources)
        finally:
            await end(runner, site, readers)
            await asyncio.to_thread(sources.stop)
    log.info("report stopped")
    return int(failed)


@contextmanager
def only_one(store: Path) -> Iterator[None]:
    """Hold the store: of two writers the slower one would put old rows over new ones.

    Raises:
        RefusedSetting: another process holds it.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(store.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedSetting(f"REPORT_STORE={store} is in use by another report: give each its own") from error
        yield


async def listen(runner: web.ServerRunner, host: str, port: int) -> int:
    """Open the port; return which."""
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        raise RefusedSetting(f"REPORT_HOST={host} REPORT_PORT={port} cannot be listened on: {error}") from error
    bound: int = runner.addresses[0][1]
    log.info("report listens on http://%s:%d", host, bound)
    return bound


async def end(runner: web.ServerRunner, site: Site, readers: Readers) -> None:
    """Close streams, let answers under way end, stop the readers."""
    await site.streams.close()
    await site.live.close()
    if site.scans is not None:
        site.scans.close()
    await runner.cleanup()
    await asyncio.to_thread(readers.close)


async def _until_stopped(stop: asyncio.Event, site: Site, sources: Sources) -> bool:
    """Poll the key file until told to stop; tell whether feed or watch ended by itself."""
    while not stop.is_set():
        if site.access.keys is not None:
            site.access.keys.poll()
        if not sources.alive():
            log.error("the report's feed or watch ended by itself: stopping, so that it is started again")
            return True
        try:
            async with asyncio.timeout(POLL_KEYS_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue
    return False
