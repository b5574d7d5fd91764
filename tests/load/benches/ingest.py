"""Ingest beside servers that store nothing: CPU per request, requests a second, p99; closed loop, then half of it open.

Two cores hold the server (one), wrk and Kafka (the other): a figure of requests a second here is what one core of
ingest can do while the generator and Kafka share the other, so it is the ratio that counts. CPU per request does not
depend on it. The open loop's p99 holds what other work on the machine does to any server: bare aiohttp's is beside it.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka import free_port
from tests.load import broker as kafka
from tests.load import ours
from tests.load.dataset import Shape, beacons
from tests.load.measure import ContenderFailedError, tree_cpu_seconds
from tests.load.session import PARTITIONS, Session
from tests.load.table import Goal, Row

HERE = Path(__file__).parents[1]
CONNECTIONS = 1024
PREFIX = "ingest-"
CONTENDERS = ("ingest", "bare aiohttp", "node http", "nginx return 200")


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load: its name, its process, its port."""

    name: str
    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class Load:
    """What one load on one server gave."""

    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    failed: int
    answered: int


@contextmanager
def peer(session: Session, name: str, command: list[str], port: int) -> Iterator[Server]:
    """Run a server that stores nothing."""
    with session.log(name).open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, cwd=session.folder)
        try:
            ours.wait_ready(running, port)
            yield Server(name, running.pid, port)
        finally:
            running.terminate()
            running.wait(10)


@contextmanager
def ingest(session: Session, port: int, processes: int = 1, **settings: str) -> Iterator[Server]:
    """Run our ingest with acks=all on the bench's broker."""
    env = {"INGEST_PORT": str(port), "INGEST_PROCESSES": str(processes), **settings}
    with ours.process(session, ["ingest"], PREFIX, env, "ingest") as running:
        ours.wait_ready(running, port)
        yield Server("ingest", running.pid, port)


def closed(session: Session, server: Server, seconds: int) -> Load:
    """Load a server with wrk at 1,024 connections."""
    url = f"http://127.0.0.1:{server.port}"
    words = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "beacons.lua"), url]
    before = tree_cpu_seconds(server.pid)
    said = subprocess.run(["wrk", *words], capture_output=True, text=True, check=True).stdout
    used = tree_cpu_seconds(server.pid) - before
    found = json.loads(said.splitlines()[-1])
    if found["errors"] > found["requests"] / 1000:
        raise ContenderFailedError(f"{server.name}: {found['errors']} errors in {found['requests']} requests")
    return Load(
        found["requests"] / found["seconds"],
        used / found["requests"] * 1e6,
        found["p50"],
        found["p99"],
        found["errors"],
        found["requests"],
    )


def open_loop(session: Session, server: Server, rate: float, seconds: float) -> Load:
    """Load a server at a rate that does not wait for it."""
    queries = queries_file(session, int(rate * seconds))
    words = [str(server.port), str(rate), str(seconds), str(CONNECTIONS), str(queries)]
    before = tree_cpu_seconds(server.pid)
    command = [sys.executable, "-m", "tests.load.openloop", *words]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parents[1]).stdout
    used = tree_cpu_seconds(server.pid) - before
    found = json.loads(said)
    cost = used / found["answered"] * 1e6
    return Load(rate, cost, found["p50"], found["p99"], found["failed"], found["answered"])


def queries_file(session: Session, number: int) -> Path:
    """Return a file with so many query strings of the job's beacons."""
    path = session.folder / f"queries-{number}"
    if not path.exists():
        with path.open("wb") as out:
            for _, sent in zip(range(number), beacons(Shape(sessions=number // 6 + 2)), strict=False):
                out.write(json.loads(sent.line)["query"].encode() + b"\n")
    return path


def servers(session: Session, stack: ExitStack, names: tuple[str, ...] = CONTENDERS) -> dict[str, Server]:
    """Start those of the contenders that this machine has."""
    settings = session.folder / "nginx.conf"
    nginx = free_port()
    settings.write_text((HERE / "peers" / "nginx.conf").read_text().replace("PORT", str(nginx)))
    commands = {
        "bare aiohttp": (free_port(), [sys.executable, str(HERE / "peers" / "bare.py"), "PORT"]),
        "node http": (free_port(), ["node", str(HERE / "peers" / "bare.js"), "PORT"]),
        "nginx return 200": (nginx, ["nginx", "-p", str(session.folder), "-c", str(settings)]),
    }
    found = {"ingest": stack.enter_context(ingest(session, free_port()))}
    for name, (port, words) in commands.items():
        if name in names and shutil.which(words[0]):
            command = [str(port) if word == "PORT" else word for word in words]
            found[name] = stack.enter_context(peer(session, name.split()[0], command, port))
    return found


def median(loads: list[Load]) -> Load:
    return Load(*(statistics.median(values) for values in zip(*map(_values, loads), strict=True)))  # type: ignore[arg-type]


def _values(load: Load) -> tuple[float, ...]:
    return (load.per_second, load.cpu_us, load.p50_ms, load.p99_ms, load.failed, load.answered)


def bench(session: Session) -> None:
    if not shutil.which("wrk"):
        raise ContenderFailedError("ingest needs wrk: apt-get install wrk")
    seconds = 3 if session.quick else 8
    for topic, partitions in (("beacons", PARTITIONS), ("ingests", 1)):
        kafka.create(session.broker, PREFIX + topic, partitions)
    with ExitStack() as stack:
        found = servers(session, stack)
        taken: dict[str, list[Load]] = {name: [] for name in found}
        for server in found.values():
            closed(session, server, 2)
        for turn in range(session.runs):
            for name, server in found.items():
                load = closed(session, server, seconds)
                taken[name].append(load)
                session.say(
                    f"{turn + 1}/{session.runs} {name}: {load.per_second:,.0f} requests/s, "
                    f"{load.cpu_us:.1f} µs CPU a request, p99 {load.p99_ms:.0f} ms, {load.failed} failed"
                )
        medians = {name: median(loads) for name, loads in taken.items()}
        _closed_rows(session, medians)
        rate = round(medians["ingest"].per_second / 2)
        _open_rows(session, found, rate, 5 if session.quick else 20)
    _two_processes(session, medians["ingest"], seconds)


def _closed_rows(session: Session, medians: dict[str, Load]) -> None:
    bare = medians["bare aiohttp"]
    for name, load in medians.items():
        mine = name == "ingest"
        what, of = f"{name}, {CONNECTIONS} connections", "bare aiohttp"
        note = "acks=all, in Kafka" if mine else "stores nothing"
        goal = Goal(at_most=1.15) if mine else None
        ratio = load.cpu_us / bare.cpu_us
        session.add(Row("ingest", what, load.cpu_us, "µs CPU/request", "", ratio, of, goal, note))
        goal = Goal(at_least=0.9) if mine else None
        note = f"p50 {load.p50_ms:.0f} ms, p99 {load.p99_ms:.0f} ms"
        ratio = load.per_second / bare.per_second
        session.add(Row("ingest", what, load.per_second, "requests/s", "", ratio, of, goal, note))


def _open_rows(session: Session, found: dict[str, Server], rate: float, seconds: float) -> None:
    taken: dict[str, list[Load]] = {"ingest": [], "bare aiohttp": []}
    before = kafka.end_offsets(session.broker, PREFIX + "beacons")
    for _ in range(min(3, session.runs)):
        for name, loads in taken.items():
            loads.append(open_loop(session, found[name], rate, seconds))
    records = sum(kafka.end_offsets(session.broker, PREFIX + "beacons").values()) - sum(before.values())
    packed = sum(load.answered for load in taken["ingest"]) / records
    for name, loads in taken.items():
        load = median(loads)
        mine = name == "ingest"
        note = f"p50 {load.p50_ms:.1f} ms, {load.cpu_us:.1f} µs CPU a request, {load.failed:.0f} failed"
        note += f", {packed:.1f} beacons a record" if mine else ""
        goal = Goal(at_most=50) if mine else None
        session.add(Row("ingest", f"{name}, open loop, {rate:,}/s", load.p99_ms, "ms p99", goal=goal, note=note))


def _two_processes(session: Session, one: Load, seconds: int) -> None:
    loads = []
    with ingest(session, free_port(), 2) as server:
        closed(session, server, 2)
        for _ in range(min(3, session.runs)):
            loads.append(closed(session, server, seconds))
            time.sleep(0.5)
    two = median(loads)
    note = f"{two.cpu_us:.1f} µs CPU a request; on 2 cores wrk and Kafka take the second: no goal here"
    ratio = two.per_second / one.per_second
    what = f"ingest, 2 processes, {CONNECTIONS} connections"
    session.add(Row("ingest", what, two.per_second, "requests/s", "", ratio, "one process", None, note))
