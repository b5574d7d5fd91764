"""The report alone, and while the worker folds 5,000 beacons a second: hot and 304s, cold queries, live readers."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.message import Message
from pathlib import Path
from urllib.parse import urlencode

from deploy.local.kafka import free_port
from tests.load import ours, state
from tests.load.benches.ingest import Load, Server, median, peer, queries_file
from tests.load.measure import ContenderFailedError, resident_mib, tree_cpu_seconds
from tests.load.session import PARTITIONS, ROOT, Session
from tests.load.table import Goal, Row

HERE = Path(__file__).parents[1]
PREFIX = "report-"
PARTNER, HOT = "1000", "1_hot"
ENTRIES, MINUTES = 20_000, 48 * 60
BUSY_MINUTES = 10
RATE, CONNECTIONS, READERS = 5_000, 64, 1000
GOALS = {"hot query": Goal(at_least=0.6), "304": Goal(at_least=0.75)}
COUNTS = '"plays":{plays},"views":30,"bufferTime":103'


def rows_of(hour: int) -> state.Rows:
    """Return 48 h of minutes of one entry, and an hour of 20,000: its hour rows and ten minutes of each."""
    chunk = ENTRIES // PARTITIONS // state.LEAD

    def rows(partition: int, batch: int) -> Iterator[state.RowText]:
        every = MINUTES // state.LEAD + 1
        for minute in range(batch * every, min((batch + 1) * every, MINUTES)):
            yield 1, hour + 3600 - MINUTES * 60 + minute * 60, PARTNER, f'"{HOT}"', COUNTS.format(plays=minute % 60 + 1)
        for number in range(chunk):
            entry = (partition * state.LEAD + batch) * chunk + number
            counts = COUNTS.format(plays=1 + 100_000 // (entry + 10))
            yield 2, hour, PARTNER, f'"1_{entry:06d}"', counts
            for minute in range(BUSY_MINUTES):
                yield 1, hour + (entry + minute * 6) % 60 * 60, PARTNER, f'"1_{entry:06d}"', counts

    return rows


def bench(session: Session) -> None:
    if not shutil.which("wrk"):
        raise ContenderFailedError("report needs wrk: apt-get install wrk")
    hour = int(time.time()) // 3600 * 3600 - 2 * 3600
    session.say("writing rows")
    state.write(session, PREFIX, rows_of(hour), 0, hour * 1000)
    queries = {
        "48 h of minutes, one entry": {
            "partnerId": PARTNER, "entryId": HOT, "window": "1m", "from": hour + 3600 - MINUTES * 60, "to": hour + 3600,
            "by": "time", "metrics": "plays,views,bufferTime",
        },
        "top 50 of 20,000 entries, one hour row each": {
            "partnerId": PARTNER, "window": "1h", "from": hour, "to": hour + 3600, "by": "entry",
            "metrics": "plays,views", "order": "-plays", "limit": 50,
        },
        "top 50 of 20,000 entries, of 200,000 minutes": {
            "partnerId": PARTNER, "window": "1m", "from": hour, "to": hour + 3600, "by": "entry",
            "metrics": "plays,views", "order": "-plays", "limit": 50,
        },
    }  # fmt: skip
    with ExitStack() as stack:
        report = stack.enter_context(_report(session))
        words = queries["top 50 of 20,000 entries, one hour row each"]
        _hot(session, report, words, "alone", {})
        stack.enter_context(_line(session))
        _hot(session, report, words, f"at {RATE:,} beacons/s", GOALS)
        for name, words in queries.items():
            _cold(session, report, name, words)
        asyncio.run(_live(session, report))
    ours.forget(session, PREFIX)


@contextmanager
def _report(session: Session) -> Iterator[Server]:
    port = free_port()
    settings = {"REPORT_PORT": str(port), "REPORT_RATE_PER_SECOND": "1000000", "REPORT_RATE_BURST": "1000000"}
    settings |= {"REPORT_LIVE_PER_KEY": "2000", "REPORT_LIVE_READERS": "2000"}
    with ours.process(session, ["pipeline", "report"], PREFIX, settings, "report") as running:
        ours.wait_ready(running, port, 300)
        yield Server("report", running.pid, port)


@contextmanager
def _line(session: Session) -> Iterator[None]:
    """Keep ingest and worker busy with 5,000 beacons a second until the bench is over."""
    seconds = 60 if session.quick else 420
    with ExitStack() as stack:
        ports = {"INGEST": free_port(), "WORKER": free_port()}
        for name, module in (("INGEST", ["ingest"]), ("WORKER", ["pipeline", "worker"])):
            running = stack.enter_context(
                ours.process(session, module, PREFIX, {f"{name}_PORT": str(ports[name])}, f"report-{name.lower()}")
            )
            ours.wait_ready(running, ports[name])
        words = [str(ports["INGEST"]), str(RATE), str(seconds), "256", str(queries_file(session, RATE * seconds))]
        command = [sys.executable, "-m", "tests.load.openloop", *words]
        load = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))
        try:
            yield
            if load.poll() is not None:
                session.say("the load on the worker ended before the report was measured: its seconds are too few")
        finally:
            load.terminate()


def _get(server: Server, words: dict[str, object]) -> tuple[bytes, Message]:
    url = f"http://127.0.0.1:{server.port}/v1/report?{urlencode(words)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read(), answer.headers


def _settled(server: Server, words: dict[str, object]) -> tuple[bytes, str]:
    """Return answer and ETag once the windows asked for are counted to their end: before, each second has another."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        body, headers = _get(server, words)
        if "max-age=60" in headers["Cache-Control"]:
            return body, headers["ETag"]
        time.sleep(0.1)
    raise ContenderFailedError("the report says after 60 s that windows of two hours ago are still open")


def _unchanged(server: Server, words: dict[str, object], etag: str) -> None:
    """Refuse figures of 304s that were none."""
    url = f"http://127.0.0.1:{server.port}/v1/report?{urlencode(words)}"
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers={"If-None-Match": etag}), timeout=30)
    except urllib.error.HTTPError as answer:
        if answer.code == 304:
            return
        raise
    raise ContenderFailedError("the report answered 200 to its own ETag")


def _hot(session: Session, report: Server, words: dict[str, object], when: str, goals: dict[str, Goal]) -> None:
    body, etag = _settled(report, words)
    same = session.folder / "hot.json"
    same.write_bytes(body)
    port = free_port()
    command = [sys.executable, str(HERE / "peers" / "bare.py"), str(port), str(same)]
    taken: dict[str, list[Load]] = {"bare aiohttp": [], "hot query": [], "304": []}
    with peer(session, "bare-report", command, port) as bare:
        for _ in range(session.runs):
            taken["bare aiohttp"].append(_wrk(session, bare, words))
            taken["hot query"].append(_wrk(session, report, words))
            taken["304"].append(_wrk(session, report, words, f"If-None-Match: {etag}"))
            _unchanged(report, words, etag)
    floor = median(taken["bare aiohttp"])
    for name, loads in taken.items():
        load = median(loads)
        note = f"{load.cpu_us:.1f} µs CPU a request, p99 {load.p99_ms:.0f} ms, {len(body):,} bytes"
        ratio, goal = load.per_second / floor.per_second, goals.get(name)
        what = f"{name}, {when}"
        session.add(Row("report", what, load.per_second, "requests/s", "", ratio, "bare aiohttp", goal, note))


def _wrk(session: Session, server: Server, words: dict[str, object], *headers: str) -> Load:
    seconds = 2 if session.quick else 6
    url = f"http://127.0.0.1:{server.port}/v1/report?{urlencode(words)}"
    options = [word for header in headers for word in ("-H", header)]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *options, "-s", str(HERE / "get.lua"), url]
    before = tree_cpu_seconds(server.pid)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = tree_cpu_seconds(server.pid) - before
    found = json.loads(said.splitlines()[-1])
    if found["errors"] > found["requests"] / 1000:
        raise ContenderFailedError(f"{server.name}: {found['errors']} errors in {found['requests']} requests")
    cost = used / found["requests"] * 1e6
    return Load(found["requests"] / found["seconds"], cost, found["p50"], found["p99"], 0, found["requests"])


def _cold(session: Session, report: Server, name: str, words: dict[str, object]) -> None:
    number = 20 if session.quick else 200
    taken = []
    for turn in range(number):
        began = time.perf_counter()
        # A limit that nobody asked for before: the answer is in no memory.
        _get(report, words | {"limit": int(str(words.get("limit", 5000))) + turn})
        taken.append(1e3 * (time.perf_counter() - began))
    taken.sort()
    p50, p99 = taken[number // 2], taken[int(number * 0.99)]
    session.add(Row("report", f"cold: {name}", p50, "ms p50", note=f"p99 {p99:.0f} ms, {number} queries"))


async def _live(session: Session, report: Server) -> None:
    """Hold a thousand readers of the busiest partner; each must hear of changes."""
    before, used = resident_mib(report.pid), tree_cpu_seconds(report.pid)
    words = urlencode({"partnerId": PARTNER, "window": "10s", "from": "now-1m", "by": "time", "metrics": "plays"})
    request = f"GET /v1/live?{words} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()
    readers = []
    for _ in range(READERS):
        reader, writer = await asyncio.open_connection("127.0.0.1", report.port)
        writer.write(request)
        readers.append((reader, writer))
    heard = await asyncio.gather(*(_hear(reader, 10) for reader, _ in readers))
    held = resident_mib(report.pid)
    cpu = tree_cpu_seconds(report.pid) - used
    for _, writer in readers:
        writer.close()
    silent = sum(events < 2 for events in heard)
    note = f"{held - before:.0f} MiB more than before, {cpu / 10:.0%} of a core, {sum(heard)} events in 10 s"
    note += f", {silent} readers heard less than two"
    session.add(Row("report", f"{READERS:,} live readers", held, "MiB", note=note))


async def _hear(reader: asyncio.StreamReader, seconds: float) -> int:
    """Return how many events came."""
    events = 0
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    try:
        while True:
            async with asyncio.timeout_at(until):
                line = await reader.readline()
            if not line:
                return events
            events += line.startswith(b"data:")
    except TimeoutError:
        return events
