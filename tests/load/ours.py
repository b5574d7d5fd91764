"""Our worker as a contender: a real process on the loaded topic, its state and topics fresh, its counts checked.

It is ready and idle, and is then stopped (SIGSTOP) until all beacons are copied into its line: like its peers it finds
a full topic, and nothing but Kafka works beside it. It is done when the last of them is in a committed position. What
its process used in between is what they cost: no start, and no part of a checkpoint left out on either side.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from deploy.local.kafka import free_port
from pipeline.config import KafkaSettings
from tests.load import broker as kafka
from tests.load.dataset import Counts, dump
from tests.load.load import Loaded
from tests.load.measure import ContenderFailedError, Run, cpu_seconds, peak_mib
from tests.load.session import PARTITIONS, ROOT, Session

JOB = {"WORKER_WINDOWS": "10s", "WORKER_SETS": "entry", "WORKER_METRICS": "plays,views,bufferTime"}
TOPICS = ("beacons", "windows", "seen", "rejected", "ingests")


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


def forget(session: Session, prefix: str) -> None:
    """Remove what a line left in Kafka and on disk."""
    there = session.broker.admin.list_topics(timeout=10).topics
    kafka.delete(session.broker, [prefix + topic for topic in TOPICS if prefix + topic in there])
    shutil.rmtree(session.folder / prefix, ignore_errors=True)


def ready(session: Session, prefix: str, settings: dict[str, str]) -> None:
    """Start a worker on a line, let it become ready, and stop it."""
    port = free_port()
    with process(session, ["pipeline", "worker"], prefix, settings | {"WORKER_PORT": str(port)}, "worker") as running:
        wait_ready(running, port, 300)


def count_all(session: Session, name: str, loaded: Loaded, settings: dict[str, str], out: Path) -> Run:
    """Let a fresh worker of a fresh line count everything in a loaded topic; write its counts to `out`."""
    prefix = session.name("run-")
    taken = count_on(session, name, loaded, settings, prefix, out)
    forget(session, prefix)
    return taken


def count_on(session: Session, name: str, loaded: Loaded, settings: dict[str, str], prefix: str, out: Path) -> Run:
    """Let a worker of a line count what is loaded, on top of what its state holds; write its counts to `out`."""
    port = free_port()
    # Kafka must not take its partitions while it stands still.
    settings = settings | {"WORKER_PORT": str(port), "WORKER_SESSION_TIMEOUT_MS": "80000"}
    with process(session, ["pipeline", "worker"], prefix, settings, "worker") as running:
        wait_ready(running, port, 300)
        before = idle_cpu_seconds(running.pid)
        topic = prefix + "beacons"
        ends = kafka.end_offsets(session.broker, topic)
        for partition, more in kafka.end_offsets(session.broker, loaded.topic).items():
            ends[partition] += more
        with _stopped(running):
            copy = [sys.executable, "-m", "tests.load.copy", session.broker.bootstrap, loaded.topic, topic]
            if subprocess.run(copy, cwd=ROOT, check=False).returncode:
                raise ContenderFailedError("the copy of the beacons failed")
        began = time.monotonic()
        watch_positions(session, prefix, ends, running)
        whole, wall, peak = cpu_seconds(running.pid), time.monotonic() - began, peak_mib(running.pid)
    out.write_bytes(dump(counts(session, prefix)))
    per = 1e6 / loaded.beacons
    return Run(name, loaded.beacons, (whole - before) * per, wall * per, whole, peak)


@contextmanager
def _stopped(running: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let a process stand still."""
    running.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        running.send_signal(signal.SIGCONT)


def idle_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process once it has stopped working."""
    used = cpu_seconds(pid)
    while True:
        time.sleep(0.5)
        now = cpu_seconds(pid)
        if now - used < 0.05:
            return now
        used = now


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


def watch_positions(
    session: Session, prefix: str, ends: dict[int, int], running: subprocess.Popen[bytes], seconds: float = 900
) -> None:
    """Return when committed positions of all partitions of a line have reached these end offsets."""
    deadline = time.monotonic() + seconds
    waiting = {number: end - 1 for number, end in ends.items() if end}
    reader = _reader(session, prefix + "windows")
    while waiting:
        if running.poll() is not None or time.monotonic() > deadline:
            raise ContenderFailedError(f"worker ended with {running.poll()}; not counted: {waiting}")
        for message in reader.consume(5000, 0.2):
            if message.key() and message.key().startswith(b'{"position"') and message.value():
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
