"""From 200 to visible: ingest, worker, report as processes under 5,000 beacons a second; what Kafka holds of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack

from deploy.local.kafka import free_port
from tests.load import broker as kafka
from tests.load import ours, probe, state
from tests.load.benches.ingest import queries_file
from tests.load.dataset import Counts
from tests.load.measure import ContenderFailedError, peak_mib, tree_cpu_seconds
from tests.load.session import ROOT, Session
from tests.load.table import Goal, Row

PREFIX = "fresh-"
RATE = 5_000
CONNECTIONS = 256


def bench(session: Session) -> None:
    seconds = 20 if session.quick else 300
    number = RATE * seconds
    queries = queries_file(session, number)
    ports = {name: free_port() for name in ("ingest", "worker", "report")}
    state.make_topics(session, PREFIX)
    with ExitStack() as stack:
        running = {}
        for name, module in (
            ("ingest", ["ingest"]),
            ("worker", ["pipeline", "worker"]),
            ("report", ["pipeline", "report"]),
        ):
            settings = {f"{name.upper()}_PORT": str(ports[name])}
            if name == "report":
                settings["REPORT_RATE_PER_SECOND"] = "1000"
            running[name] = stack.enter_context(ours.process(session, module, PREFIX, settings, f"fresh-{name}"))
        for name, process in running.items():
            ours.wait_ready(process, ports[name])
        before = {name: tree_cpu_seconds(process.pid) for name, process in running.items()}
        words = [str(ports["ingest"]), str(RATE), str(seconds), str(CONNECTIONS), str(queries)]
        command = [sys.executable, "-m", "tests.load.openloop", *words]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as load:
            addresses = (f"http://127.0.0.1:{ports[name]}" for name in ("ingest", "report"))
            delays = asyncio.run(probe.watch(*addresses, seconds, lambda: load.poll() is None))
            said = json.loads(load.communicate()[0])
        used = {name: tree_cpu_seconds(process.pid) - before[name] for name, process in running.items()}
        memory = {name: peak_mib(process.pid) for name, process in running.items()}
        ours.watch_positions(session, PREFIX, kafka.end_offsets(session.broker, PREFIX + "beacons"), running["worker"])
    _check(session, queries.read_text().splitlines()[:number], said)
    _rows(session, delays, said, seconds)
    for name, cost in used.items():
        note = f"{cost / seconds:.0%} of a core, {memory[name]:.0f} MiB"
        session.add(Row("freshness", f"{name} at {RATE:,}/s", cost / number * 1e6, "µs CPU/beacon", note=note))
    _bytes(session, number + len(delays), queries.stat().st_size / number - 1)
    ours.forget(session, PREFIX)


def _check(session: Session, queries: list[str], said: dict[str, float]) -> None:
    """Refuse the figures unless everything answered 200 was counted once."""
    if said["failed"]:
        raise ContenderFailedError(f"freshness: {said['failed']:.0f} requests were not answered 200")
    plays = len({query for query in queries if "&eventType=3&" in query})
    views = len({query for query in queries if "&eventType=99&" in query})
    counted: Counts = ours.counts(session, PREFIX)
    got = [sum(row[at] for key, row in counted.items() if key[0] != probe.PARTNER) for at in (0, 1)]
    if got != [plays, views]:
        raise ContenderFailedError(f"freshness: {got} plays and views counted, {[plays, views]} sent")


def _rows(session: Session, delays: list[float], said: dict[str, float], seconds: int) -> None:
    ordered = sorted(delays)
    what = f"200 to visible, {RATE:,}/s for {seconds} s"
    note = f"{len(ordered)} probes; ingest's own answer p50 {said['p50']:.0f} ms, p99 {said['p99']:.0f} ms"
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    session.add(Row("freshness", what, p50, "s p50", note=note))
    session.add(Row("freshness", what, p99, "s p99", goal=Goal(at_most=2), note=f"longest {ordered[-1]:.2f} s"))


def _bytes(session: Session, beacons: int, query_bytes: float) -> None:
    for topic in ("beacons", "windows", "seen"):
        each = kafka.log_bytes(session.broker, PREFIX + topic) / beacons
        records = sum(kafka.end_offsets(session.broker, PREFIX + topic).values())
        note = f"as the line writes it (lz4); {beacons / records:.1f} beacons a record" if topic == "beacons" else "lz4"
        ratio, of = each / query_bytes, "query string"
        session.add(Row("bytes", f"{topic}, live at {RATE:,}/s", each, "bytes/beacon", "", ratio, of, note=note))
