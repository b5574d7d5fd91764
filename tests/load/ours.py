"""Our worker as a contender: a real process on the loaded topic, its state and topics fresh, its counts checked.

It prints nothing of how far it is; its position rows in `windows` say it. The CPU at the moment the last beacon is in a
committed position, less the CPU that the same worker needs to be ready on an empty topic (start_of), is what the
beacons cost. So no part of a checkpoint is left out on either side.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.config import KafkaSettings
from tests.load import broker as kafka
from tests.load.dataset import Counts, dump
from tests.load.load import Loaded
from tests.load.measure import ContenderFailedError, Run, cpu_seconds, peak_mib
from tests.load.session import PARTITIONS, ROOT, Session

JOB = {"WORKER_WINDOWS": "10s", "WORKER_SETS": "entry", "WORKER_METRICS": "plays,views,bufferTime"}
TOPICS = ("windows", "seen", "rejected", "ingests")


@dataclass(frozen=True, slots=True)
class Start:
    """What it takes until a worker with nothing to count is ready."""

    cpu_s: float
    wall_s: float


def environment(session: Session, prefix: str) -> dict[str, str]:
    """Return the environment of a line of ours: nothing of the caller's settings in it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "INGEST_", "REPORT_"))}
    return env | {
        "KAFKA_BOOTSTRAP": session.broker.bootstrap,
        "TOPIC_PREFIX": prefix,
        "PARTITIONS": str(PARTITIONS),
        "DATA_DIR": str(session.folder / prefix),
    }


def kafka_settings(session: Session) -> KafkaSettings:
    """Return how our own code reaches the bench's broker."""
    return KafkaSettings(bootstrap=session.broker.bootstrap)


@contextmanager
def process(
    session: Session, module: list[str], prefix: str, settings: dict[str, str], log: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our processes; it is told to stop at the end, and killed if it does not."""
    env = environment(session, prefix)
    with session.log(log).open("ab") as lines:
        running = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=ROOT, env=env | settings, stdout=lines, stderr=lines
        )
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def wait_ready(running: subprocess.Popen[bytes], port: int, seconds: float = 60) -> None:
    """Wait until a process of ours says it is ready."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise ContenderFailedError(f"not ready on port {port} after {seconds} s: ended with {running.poll()}")


def forget(session: Session, prefix: str, with_beacons: bool = False) -> None:
    """Remove what a line left in Kafka and on disk; the loaded beacons stay."""
    there = session.broker.admin.list_topics(timeout=10).topics
    names = [prefix + topic for topic in (*TOPICS, *(("beacons",) if with_beacons else ()))]
    kafka.delete(session.broker, [name for name in names if name in there])
    for future in session.broker.admin.delete_consumer_groups([prefix + "pipeline"]).values():
        try:
            future.result(10)
        except KafkaException as error:
            if error.args[0].name() != "GROUP_ID_NOT_FOUND":
                raise
    shutil.rmtree(session.folder / prefix, ignore_errors=True)


def start_of(session: Session, settings: dict[str, str]) -> Start:
    """Return what a worker on an empty topic needs until it is ready: the median of three."""

    def once() -> Start:
        prefix = session.name("empty-")
        taken = ready(session, prefix, settings)
        forget(session, prefix, with_beacons=True)
        return taken

    return median_start(once)


def median_start(once: Callable[[], Start]) -> Start:
    """Return the median, by CPU, of three starts."""
    return sorted((once() for _ in range(3)), key=lambda start: start.cpu_s)[1]


def ready(session: Session, prefix: str, settings: dict[str, str]) -> Start:
    """Start a worker on a line, let it become ready, and stop it."""
    port, began = session.port + 10, time.monotonic()
    with process(session, ["pipeline", "worker"], prefix, settings | {"WORKER_PORT": str(port)}, "worker") as running:
        wait_ready(running, port, 300)
        return Start(cpu_seconds(running.pid), time.monotonic() - began)


def count_all(session: Session, name: str, loaded: Loaded, settings: dict[str, str], start: Start, out: Path) -> Run:
    """Let a fresh worker count everything in a loaded topic; write its counts to `out`."""
    forget(session, loaded.prefix)
    return count_on(session, name, loaded, settings, start, out)


def count_on(session: Session, name: str, loaded: Loaded, settings: dict[str, str], start: Start, out: Path) -> Run:
    """Let a worker count what is loaded on top of what its state holds; write its counts to `out`."""
    port = session.port + 10
    with process(
        session, ["pipeline", "worker"], loaded.prefix, settings | {"WORKER_PORT": str(port)}, "worker"
    ) as running:
        wait_ready(running, port)
        began = time.monotonic()
        watch_positions(session, loaded, running)
        used, wall = cpu_seconds(running.pid), time.monotonic() - began
        peak = peak_mib(running.pid)
    out.write_bytes(dump(counts(session, loaded.prefix)))
    per = 1e6 / loaded.beacons
    return Run(name, loaded.beacons, (used - start.cpu_s) * per, wall * per, used, peak)


def _reader(session: Session, topic: str) -> Consumer:
    reader = Consumer(
        {
            "bootstrap.servers": session.broker.bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
            "enable.partition.eof": False,
        }
    )
    reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    return reader


def watch_positions(session: Session, loaded: Loaded, running: subprocess.Popen[bytes], seconds: float = 900) -> None:
    """Return when committed positions cover all loaded records."""
    topic = loaded.prefix + "windows"
    deadline = time.monotonic() + seconds
    while topic not in session.broker.admin.list_topics(timeout=10).topics:
        if running.poll() is not None or time.monotonic() > deadline:
            raise ContenderFailedError(f"worker ended with {running.poll()} before it made its topics")
        time.sleep(0.1)
    waiting = {number: end - 1 for number, end in kafka.end_offsets(session.broker, loaded.topic).items() if end}
    reader = _reader(session, topic)
    while waiting:
        if running.poll() is not None or time.monotonic() > deadline:
            raise ContenderFailedError(f"worker ended with {running.poll()}; not counted: {waiting}")
        for message in reader.consume(5000, 0.2):
            if message.key() and message.key().startswith(b'{"position"'):
                offset = json.loads(message.value())["offset"]
                if offset >= waiting.get(message.partition(), offset + 1):
                    del waiting[message.partition()]
    reader.close()


def counts(session: Session, prefix: str) -> Counts:
    """Return plays, views and buffer time of the 10 s entry rows in a line's `windows`, added over partitions."""
    topic = prefix + "windows"
    ends = kafka.end_offsets(session.broker, topic)
    reader = _reader(session, topic)
    latest: dict[bytes, bytes] = {}
    while any(at.offset < ends[at.partition] for at in reader.position([TopicPartition(topic, n) for n in ends])):
        for message in reader.consume(10_000, 0.5):
            if message.value() is None:
                latest.pop(message.key(), None)
            else:
                latest[message.key()] = message.value()
    reader.close()
    total: Counts = {}
    for key, value in latest.items():
        said = json.loads(key)
        if said.get("window") != "10s" or said.get("set") != "entry":
            continue
        row = json.loads(value)
        added = [row.get("plays", 0), row.get("views", 0), row.get("bufferTime", 0)]
        if any(added):
            before = total.get((said["partnerId"], said["entryId"], said["start"]), [0, 0, 0])
            total[said["partnerId"], said["entryId"], said["start"]] = [
                a + b for a, b in zip(before, added, strict=True)
            ]
    return total
