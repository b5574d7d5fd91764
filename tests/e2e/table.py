"""What the report must say: an independent reading of the lines in topic beacons.

Nothing of ingest or pipeline is used, and other libraries (kafka-python, json, urllib), so that one mistake
cannot be made twice. The catalog's words are taken from it: they are names, not rules.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from kafka import KafkaConsumer, TopicPartition

WINDOW_SECONDS = {"10s": 10, "1m": 60, "1h": 3600}
COUNTED = {
    "1": "impressions",
    "2": "playRequests",
    "3": "plays",
    "4": "resumes",
    "11": "quartile25",
    "12": "quartile50",
    "13": "quartile75",
    "14": "quartile100",
    "22": "shares",
    "33": "pauses",
    "34": "replays",
    "35": "seeks",
    "98": "errors",
    "99": "views",
    "10002": "buttonClicks",
}
METRICS = (*sorted(COUNTED.values()), "bufferTime")
DAY_MS = 86_400_000

_HOST = re.compile(r"https?://([^/?#]+)")
# Dimensions that need no tables to be read, each with its value of a beacon's parameters.
SPLITS: dict[str, Callable[[dict[str, str]], str]] = {
    "playbackType": lambda given: given.get("playbackType", ""),
    "domain": lambda given: found[1].lower() if (found := _HOST.match(given.get("referrer", ""))) else "unknown",
}
# The windows that all of these are kept in.
SPLIT_WINDOWS = ("1m", "1h")

# (window, start, partnerId, entryId or None for the whole partner; of splits: dimension=value)
Key = tuple[str, int, str, str | None]
Table = dict[Key, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Stored:
    """A beacon as topic beacons holds it: its place, its receive time and its request."""

    partition: int
    offset: int
    id: str
    time: int
    path: str
    query: bytes
    type: str
    body: bytes


# A beacon that counts, its parameters, and what it adds to which metric.
Counted = tuple[Stored, dict[str, str], dict[str, int]]


def _bytes(line: dict[str, Any], name: str) -> bytes:
    if f"{name}64" in line:
        return base64.b64decode(line[f"{name}64"])
    return str(line.get(name, "")).encode()


def stored_beacons(bootstrap: str, topic: str, **entrance: str) -> list[Stored]:
    """Return every beacon of the topic, partition by partition in order of offset."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap.split(","),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        **entrance,
    )
    try:
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        assert places, f"{topic} does not exist"
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        found: dict[int, list[Stored]] = defaultdict(list)
        while any(consumer.position(place) < ends[place] for place in places):
            for place, records in consumer.poll(timeout_ms=1000, max_records=5000).items():
                for record in records:
                    found[place.partition] += _lines(record.partition, record.offset, record.value)
    finally:
        consumer.close()
    return [beacon for partition in sorted(found) for beacon in found[partition]]


def _lines(partition: int, offset: int, value: bytes) -> Iterator[Stored]:
    for text in value.split(b"\n"):
        line = json.loads(text)
        request = (line["path"], _bytes(line, "query"), line.get("type", ""), _bytes(line, "body"))
        yield Stored(partition, offset, line["id"], line["time"], *request)


def parameters(query: bytes, kind: str, body: bytes) -> dict[str, str]:
    """Return a request's parameters: the first of a name counts, the body's win; one character per byte."""

    def pairs(text: bytes) -> dict[str, str]:
        read = parse_qsl(text.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        return dict(reversed(read))

    found = pairs(query)
    if body and kind.startswith("application/json"):
        values = json.loads(body)
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
        return found | {name: text.encode().decode("latin-1") for name, text in texts.items()}
    return found | pairs(body)


def milliseconds(text: str) -> int:
    """Return seconds as whole milliseconds; what is no sensible number of seconds is nothing."""
    try:
        value = (Decimal(text) * 1000).quantize(Decimal(1)) if text else Decimal(0)
    except InvalidOperation:
        return 0
    return int(value) if 0 <= value <= DAY_MS else 0


def table_of(beacons: Iterable[Stored]) -> Table:
    """Return every row of every window: the first sighting of each identity counts, where it was received."""
    return rows_of(counted(beacons))


def rows_of(beacons: Iterable[Counted]) -> Table:
    """Return every row of partners and entries that beacons make which count."""
    rows: dict[Key, Counter[str]] = defaultdict(Counter)
    for beacon, given, amounts in beacons:
        for window, size in WINDOW_SECONDS.items():
            start = beacon.time // 1000 // size * size
            for entry in (None, given["entryId"]):
                rows[window, start, given["partnerId"], entry].update(amounts)
    return _whole(rows)


def splits_of(beacons: Iterable[Counted]) -> Table:
    """Return every row of the dimensions of SPLITS that beacons make which count."""
    rows: dict[Key, Counter[str]] = defaultdict(Counter)
    for beacon, given, amounts in beacons:
        for window in SPLIT_WINDOWS:
            start = beacon.time // 1000 // WINDOW_SECONDS[window] * WINDOW_SECONDS[window]
            for name, value_of in SPLITS.items():
                rows[window, start, given["partnerId"], f"{name}={value_of(given)}"].update(amounts)
    return _whole(rows)


def _whole(rows: dict[Key, Counter[str]]) -> Table:
    return {key: {name: row[name] for name in METRICS} for key, row in rows.items()}


def counted(beacons: Iterable[Stored]) -> Iterator[Counted]:
    """Yield the beacons that count, each with its parameters and what it adds to which metric."""
    seen = set()
    for beacon in beacons:
        given = parameters(beacon.query, beacon.type, beacon.body)
        kind = given.get("eventType", "")
        names = ("partnerId", "sessionId", "eventIndex", "entryId", "eventType", "sessionStartTime")
        ours = given.get("service") == "analytics" or ("service" not in given and beacon.path == "/collect")
        named = given.get("sessionId", "") and given.get("eventIndex", "")
        identity = tuple(given.get(name, "") for name in names) if named else beacon.id
        if not ours or kind not in COUNTED or identity in seen:
            continue
        seen.add(identity)
        amounts = {COUNTED[kind]: 1}
        if kind == "99":
            amounts["bufferTime"] = milliseconds(given.get("bufferTime", ""))
        yield beacon, given, amounts
