"""One Kafka node for one machine: fetched by Maven, KRaft, loopback only, formatted once."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local import prerequisites

HERE = Path(__file__).parent
LIB = HERE.parent.parent / "build" / "kafka" / "lib"
# 384 MiB holds 10,000 beacons/s here; a large heap would only take the page cache's room.
JVM = ("-Xms192m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true")

# Of fetching: one lost connection on the way to the repository says nothing.
ATTEMPTS = 2
# Linux gives ports from 32768 on to outgoing connections, others from 49152 on.
_FIRST_PORT, _FIRST_OUTGOING_PORT = 15_000, 32_768
_given: set[int] = set()


class NotFetched(Exception):
    """Kafka cannot be started; the text is the line to print."""


def free_port(row: int = 1) -> int:
    """Return a loopback port that nothing listens on now; of `row` such ports, one behind the other, the first.

    None of those that systems give to outgoing connections: one may have it before who asked here listens on it. And
    none twice: who asks for several does not listen on the first yet.
    """
    while True:
        first = _FIRST_PORT + secrets.randbelow(_FIRST_OUTGOING_PORT - row - _FIRST_PORT)
        ports = range(first, first + row)
        if _given.isdisjoint(ports) and all(map(_is_free, ports)):
            _given.update(ports)
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def fetch() -> None:
    """Have Maven copy Kafka's artifacts to build/kafka/lib, unless this pom's are there already."""
    pom = HERE / "pom.xml"
    wanted = hashlib.sha256(pom.read_bytes()).hexdigest()
    stamp = LIB.parent / "pom.sha256"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    prerequisites.require_maven()
    shutil.rmtree(LIB.parent, ignore_errors=True)
    LIB.mkdir(parents=True)
    copy = ("dependency:copy-dependencies", f"-Dlib={LIB}")
    # Strict checksums: an artifact that differs from what the repository says it is must not run.
    maven = ("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom), *copy)
    for _ in range(ATTEMPTS):
        done = subprocess.run(maven, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            break
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise NotFetched(f"Maven could not fetch Kafka: {lines[0] if lines else f'exit {done.returncode}'}")
    stamp.write_text(wanted)


@dataclass(frozen=True, slots=True)
class Node:
    """A Kafka node with its place on disk and its port.

    Attributes:
        folder: holds its settings and its data; made when missing.
        port: where clients reach it, on loopback.
    """

    folder: Path
    port: int

    @property
    def bootstrap(self) -> str:
        """Return what clients are given as KAFKA_BOOTSTRAP."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> tuple[str, ...]:
        """Write the settings, format the folder if it never was, and return what starts the node."""
        settings = self.folder / "server.properties"
        self.folder.mkdir(parents=True, exist_ok=True)
        settings.write_text(self._settings(controller_port=free_port()))
        self._format(settings)
        return (*_java(), "kafka.Kafka", str(settings))

    def answers(self) -> bool:
        """Tell whether the node serves clients."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
            return bool(client.list_topics(timeout=5).brokers)
        except (OSError, KafkaException):
            return False

    def _format(self, settings: Path) -> None:
        """Format the data folder once; one that was cut short is formatted from the beginning."""
        formatted = self.folder / "formatted"
        if formatted.exists():
            return
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--config", str(settings))
        done = subprocess.run((*_java(), *tool), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotFetched(f"Kafka could not format {self.folder}: {done.stderr.strip() or done.stdout.strip()}")
        formatted.write_text(cluster)

    def _settings(self, controller_port: int) -> str:
        # The controller's port is new at every start: two nodes cannot collide on it.
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            # No client's and no ingest's clock decides when a record is old enough to go.
            "log.message.timestamp.type": "LogAppendTime",
            # One node: every copy there can be is one.
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # After a kill -9 the node must wait this long before it may serve again (9 s otherwise).
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "1000",
            # Few partitions of what only Kafka reads, and small buffers: it shares the machine with the line.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.num.partitions": "1",
            "log.cleaner.dedupe.buffer.size": str(16 << 20),
            "log.segment.bytes": str(128 << 20),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "background.threads": "2",
            # Workers that start together join together; more would only delay the first count.
            "group.initial.rebalance.delay.ms": "200",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _java() -> tuple[str, ...]:
    """Return the start of every Kafka command."""
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.yaml'}"
    return (prerequisites.java(), *JVM, logging, "-cp", f"{LIB}/*")
