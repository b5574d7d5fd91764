"""The topics as they are, read by kafka-python: what ingest stored, and what the workers wrote about it."""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from tests.e2e.table import METRICS, Key, Stored, Table

# (partition, offset, key, value)
Record = tuple[int, int, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Beacons:
    """Topic beacons.

    Attributes:
        stored: every readable line, in order.
        unreadable: how many lines are none.
    """

    stored: list[Stored]
    unreadable: int


def records(bootstrap: str, topic: str, committed_only: bool = False) -> Iterator[Record]:
    """Yield every record of a topic, partition by partition in order of offset."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        isolation_level="read_committed" if committed_only else "read_uncommitted",
    )
    try:
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        assert places, f"{topic} does not exist"
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        found: dict[int, list[Record]] = defaultdict(list)
        while any(consumer.position(place) < ends[place] for place in places):
            for place, some in consumer.poll(timeout_ms=1000, max_records=5000).items():
                found[place.partition] += [(one.partition, one.offset, one.key, one.value) for one in some]
    finally:
        consumer.close()
    for partition in sorted(found):
        yield from found[partition]


def read_beacons(bootstrap: str, topic: str) -> Beacons:
    """Return what topic beacons holds."""
    stored: list[Stored] = []
    unreadable = 0
    for partition, offset, _, value in records(bootstrap, topic):
        for text in (value or b"").split(b"\n"):
            try:
                stored.append(_stored(partition, offset, text))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                unreadable += 1
    return Beacons(stored, unreadable)


def _stored(partition: int, offset: int, text: bytes) -> Stored:
    line = json.loads(text)
    if line.get("v") != 1:
        raise ValueError("another version")
    request = (line["path"], _bytes(line, "query"), line.get("type", ""), _bytes(line, "body"))
    return Stored(partition, offset, line["id"], line["time"], *request)


def _bytes(line: dict[str, Any], name: str) -> bytes:
    if f"{name}64" in line:
        return base64.b64decode(line[f"{name}64"])
    return str(line.get(name, "")).encode()


@dataclass(frozen=True, slots=True)
class Windows:
    """Topic windows: the rows added over the partitions, and the ledgers added over them too."""

    table: Table
    ledger: Counter[str]


def read_windows(bootstrap: str, topic: str) -> Windows:
    """Return what topic windows says: the last committed value of each key."""
    last: dict[bytes, bytes | None] = {}
    for _, _, key, value in records(bootstrap, topic, committed_only=True):
        last[key or b""] = value
    return windows_of(last.items())


def windows_of(rows: Iterable[tuple[bytes, bytes | None]]) -> Windows:
    """Add up rows by key."""
    sums: dict[Key, Counter[str]] = defaultdict(Counter)
    ledger: Counter[str] = Counter()
    for key, value in rows:
        said = json.loads(key)
        if value is None:
            continue
        row = json.loads(value)
        if "position" in said:
            ledger.update(row["ledger"])
            continue
        if said["set"] not in {"partner", "entry"}:
            continue
        entry = said["entryId"] if said["set"] == "entry" else None
        place = (said["window"], said["start"], said["partnerId"], entry)
        sums[place].update({name: row.get(name, 0) for name in METRICS})
    return Windows({key: {name: row[name] for name in METRICS} for key, row in sums.items()}, ledger)
