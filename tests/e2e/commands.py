"""Runs the operators' commands against a test's line, and puts beacons of a test's own making into its topic."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from ingest.beacon import Beacon, partition_of
from ingest.wire import encode
from pipeline.batch import is_position_key
from pipeline.commands.broker import Broker
from pipeline.config import KafkaSettings, LineSettings
from pipeline.windows import Counts
from tests.e2e.line import REPO, Line
from tests.e2e.wait import until

PARTITIONS = 8
OURS = ("INGEST_", "WORKER_", "REPORT_", "PROBE_", "KAFKA_", "TOPIC_PREFIX", "STATE_PREFIX", "PARTITIONS", "DATA_DIR")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(line: Line, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ours = {"KAFKA_BOOTSTRAP": line.bootstrap, "TOPIC_PREFIX": line.prefix, "DATA_DIR": str(line.folder)}
    return kept | ours | {"PYTHONPATH": str(REPO)} | line.settings | more


async def run(line: Line, *arguments: str, **settings: str) -> Said:
    """Run `python -m pipeline ...` with the line's settings and return what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipeline", *arguments),
        env=environment(line, **settings),
        cwd=REPO,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def did(line: Line, *arguments: str, **settings: str) -> str:
    """Run a command that must end well and return what it printed."""
    said = await run(line, *arguments, **settings)
    assert said.code == 0, f"{arguments} ended with {said.code}: {said.out}{said.err}"
    return said.out


def broker_of(line: Line, state: str | None = None) -> Broker:
    """Return what the commands ask Kafka through, for what no command prints."""
    settings = LineSettings(topic_prefix=line.prefix, state_prefix=state)
    return Broker(KafkaSettings(bootstrap=line.bootstrap), settings)


def rows_of(line: Line, state: str | None = None) -> dict[bytes, Counts]:
    """Return the counts of every row that topic `windows` holds."""
    broker = broker_of(line, state)
    topic = broker.topics.windows
    rows: dict[bytes, Counts] = {}
    for messages in broker.read(topic, broker.starts(topic), broker.ends(topic, committed=True)):
        for message in messages:
            if message.value() is None:
                rows.pop(message.key(), None)
            elif not is_position_key(message.key()):
                rows[message.key()] = json.loads(message.value())
    return {key: {name: count for name, count in row.items() if name != "offset"} for key, row in rows.items()}


def put(line: Line, beacons: Iterable[Beacon | bytes], a_record: int = 10) -> None:
    """Put beacons, and lines that are none, into topic `beacons`, several a record as ingest does."""
    producer = Producer({"bootstrap.servers": line.bootstrap, "linger.ms": 5})
    packs: dict[int, list[bytes]] = {}
    for beacon in beacons:
        partition = partition_of(beacon, PARTITIONS) if isinstance(beacon, Beacon) else 0
        pack = packs.setdefault(partition, [])
        pack.append(encode(beacon) if isinstance(beacon, Beacon) else beacon)
        if len(pack) >= a_record:
            producer.produce(f"{line.prefix}beacons", b"\n".join(pack), None, partition)
            pack.clear()
    for partition, pack in packs.items():
        if pack:
            producer.produce(f"{line.prefix}beacons", b"\n".join(pack), None, partition)
    assert producer.flush(30) == 0


async def counted(line: Line, seconds: float = 120, **settings: str) -> Any:
    """Wait until all of topic `beacons` is counted; return what `status --json` says then."""
    found: list[Any] = []

    async def is_counted() -> bool:
        found[:] = [json.loads(await did(line, "status", "--json", **settings))]
        return bool(found[0]["lag"] == 0)

    await until(is_counted, seconds, "everything is counted", every=0.3)
    return found[0]


def beacon(number: int, time_ms: int, partner: str = "101", **more: object) -> Beacon:
    """Return a play of a session of its own."""
    parameters = {
        "service": "analytics",
        "eventType": 3,
        "partnerId": partner,
        "entryId": f"1_e{number % 7}",
        "sessionId": f"s{number}",
        "eventIndex": 1,
    } | more
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return Beacon(f"b-{number}", time_ms, path=b"/api_v3/index.php", query=query.encode())
