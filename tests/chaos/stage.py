"""The stage: one broker, two ingests, two workers, a report, each kind behind a port of its own to be cut off by."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.local import kafka
from tests.chaos.clocked import write_clock
from tests.chaos.namespace import mount_memory
from tests.chaos.packets import Packets
from tests.chaos.proxy import Proxy
from tests.e2e.broker import Broker
from tests.e2e.line import Line, Process
from tests.e2e.wait import until

KINDS = ("ingest", "worker", "report")
# Below all that free_port() draws from, so that nothing else of the line is given one of them.
INSIDE = {"ingest": 12701, "worker": 12702, "report": 12703}
PORTS = {"ingest-1": 12721, "ingest-2": 12722}
ADVERTISED = {"ingest": 12711, "worker": 12712, "report": 12713}
PLAIN = 12700
BROKER_DISK_MIB = 2048
SPOOL_DISK_MIB = 24
START_SECONDS = 240


OPERATOR = "operator.of-this-run-only"


def key_file(*keys: str) -> str:
    """Return the report's key file with these operators' keys."""
    said = []
    for key in keys:
        name, _, secret = key.partition(".")
        said.append({"id": name, "operator": True, "sha256": hashlib.sha256(secret.encode()).hexdigest()})
    return json.dumps({"version": 1, "keys": said})


@dataclass(frozen=True, slots=True)
class Node(kafka.Node):
    """A Kafka node with a listener for each kind of client, which reaches it through a proxy.

    Attributes:
        listeners: per kind the port that Kafka listens on, and the one that it says it listens on.
    """

    listeners: dict[str, tuple[int, int]]

    def _settings(self, controller_port: int) -> str:
        host, kinds = "127.0.0.1", self.listeners.items()
        inside = [f"{kind.upper()}://{host}:{port}" for kind, (port, _) in kinds]
        outside = [f"{kind.upper()}://{host}:{port}" for kind, (_, port) in kinds]
        plain = f"PLAINTEXT://{host}:{self.port}"
        names = ("CONTROLLER", "PLAINTEXT", *(kind.upper() for kind in self.listeners))
        more = {
            "listeners": ",".join((plain, f"CONTROLLER://{host}:{controller_port}", *inside)),
            "advertised.listeners": ",".join((plain, *outside)),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
            "inter.broker.listener.name": "PLAINTEXT",
        }
        # Of a setting given twice, Java takes the last.
        return kafka.Node._settings(self, controller_port) + "".join(f"{key}={value}\n" for key, value in more.items())


class ClockedLine(Line):
    """A line whose processes can be given a wrong clock while they run."""

    def clock(self, name: str) -> Path:
        return self.folder / f"{name}.clock"

    def _process(self, name: str, arguments: tuple[str, ...], port: int, **more: str) -> Process:
        write_clock(self.clock(name), 0)
        clocked = ("tests.chaos.clocked", str(self.clock(name)), *arguments)
        return super()._process(name, clocked, port, **more)


def reach(kind: str) -> str:
    """Return the bootstrap address of one kind of client: a proxy's."""
    return f"127.0.0.1:{ADVERTISED[kind]}"


class ProxiedBroker(Broker):
    """A broker that some kinds of clients reach through proxies."""

    def __init__(self, folder: Path, port: int, listeners: dict[str, tuple[int, int]]) -> None:
        super().__init__(folder)
        self.node = Node(folder, port, listeners)
        self.proxies = {kind: Proxy(outside, inside) for kind, (inside, outside) in listeners.items()}

    async def start(self) -> None:
        """Start it; a machine that is busy may take minutes over it."""
        self._child.start()
        await until(lambda: asyncio.to_thread(self._child.ready), START_SECONDS, "Kafka serves")

    @property
    def running(self) -> bool:
        return self._child.running()


class Stage:
    """All of it; `busy` names what a fault has in hand, so that no other takes it up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packets = Packets()
        self.busy: set[str] = set()
        # Of ingests: port, begin and end of each.
        self.freezes: list[tuple[int, float, float]] = []
        self.clock_moved_at = float("-inf")
        for name, size in (("broker", BROKER_DISK_MIB), ("spool", SPOOL_DISK_MIB)):
            (folder / name).mkdir(parents=True)
            mount_memory(folder / name, size)
        self.broker = ProxiedBroker(
            folder / "broker", PLAIN, {kind: (INSIDE[kind], ADVERTISED[kind]) for kind in KINDS}
        )
        self.proxies = self.broker.proxies
        self.line = ClockedLine(f"127.0.0.1:{PLAIN}", "chaos-", folder / "line")
        self.keys = folder / "keys.json"
        self.keys.write_text(key_file(OPERATOR))
        self._restarts: dict[str, int] = {}
        self.processes = self._processes()

    def _processes(self) -> dict[str, Process]:
        line = self.line
        # One spool lies on a disk that can be filled, of memory; the other one on the real disk.
        full = {"INGEST_SPOOL_DIR": str(self.folder / "spool" / "ingest-2"), "INGEST_SPOOL_MIN_FREE_MIB": "1"}
        made = [
            line.ingest("ingest-1", PORTS["ingest-1"], KAFKA_BOOTSTRAP=reach("ingest")),
            line.ingest("ingest-2", PORTS["ingest-2"], KAFKA_BOOTSTRAP=reach("ingest"), **full),
            line.worker("worker-1", KAFKA_BOOTSTRAP=reach("worker")),
            line.worker("worker-2", KAFKA_BOOTSTRAP=reach("worker")),
            line.report(REPORT_KEYS=str(self.keys), KAFKA_BOOTSTRAP=reach("report")),
        ]
        return {process.name: process for process in made}

    def guest(self, name: str) -> Process:
        """Return one more worker."""
        return self.line.worker(name, KAFKA_BOOTSTRAP=reach("worker"))

    async def start(self) -> None:
        """Start everything and wait until it is ready."""
        await self.broker.start()
        for proxy in self.proxies.values():
            await proxy.start()
        await self.line.topics()
        for process in self.processes.values():
            process.start_only()
        for process in self.processes.values():
            await process.ready(START_SECONDS)

    async def back(self, name: str) -> None:
        """See that a process runs and is ready, as a supervisor would."""
        process = self.processes[name]
        if not process.running:
            process.kill()
            process.start_only()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                await process.ready(max(1.0, deadline - time.monotonic()))
                return
            except AssertionError:
                # It ended while it started (Kafka was away): a supervisor starts it again.
                if time.monotonic() > deadline:
                    raise
                process.kill()
                process.start_only()

    async def tend(self) -> None:
        """Start what ended by itself, unless a fault has it in hand, until cancelled."""
        while True:
            await asyncio.sleep(0.5)
            for name, process in self.processes.items():
                if name not in self.busy and not process.running:
                    self._restarts[name] = self._restarts.get(name, 0) + 1
                    process.kill()
                    process.start_only()

    @property
    def restarts(self) -> dict[str, int]:
        """Return how often a process ended by itself and was started again."""
        return dict(self._restarts)

    def clocks_agree(self) -> bool:
        """Tell whether no clock was moved in the last seconds."""
        return time.monotonic() - self.clock_moved_at > 15

    def fill(self, disk: str) -> None:
        """Fill a disk of memory to the last byte."""
        subprocess.run(("fallocate", "-l", "4G", str(self._filler(disk))), check=False, capture_output=True)
        subprocess.run(("dd", "if=/dev/zero", f"of={self._filler(disk)}", "bs=64k"), check=False, capture_output=True)

    def empty(self, disk: str) -> None:
        """Make room again."""
        self._filler(disk).unlink(missing_ok=True)

    def _filler(self, disk: str) -> Path:
        return self.folder / disk / "filler"

    async def close(self) -> None:
        """End everything and keep nothing but the logs."""
        self.line.close()
        for proxy in self.proxies.values():
            await proxy.close()
        self.broker.kill()

    async def gone(self, process: Process, seconds: float) -> None:
        """Wait until a process has ended."""
        await until(lambda: not process.running, seconds, f"{process.name} ends")


def remove(folder: Path) -> None:
    """Remove a run's folder, disks included."""
    for disk in ("broker", "spool"):
        subprocess.run(("umount", "-l", str(folder / disk)), check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
