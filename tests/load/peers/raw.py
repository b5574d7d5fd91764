"""The raw loop: consume, orjson, query to dict, count in a dict; no state. With "dedupe": a set in memory too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import unquote_plus

import orjson
from confluent_kafka import Consumer, TopicPartition

IDENTITY = ("partnerId", "sessionId", "eventIndex", "entryId", "eventType", "sessionStartTime")
Rows = dict[tuple[str, str, int], list[int]]
Seen = set[tuple[str, ...]]


def fold(lines: list[bytes], rows: Rows, seen: Seen | None) -> None:
    """Count the plays, views and buffer time of a record's beacons."""
    for line in lines:
        beacon = orjson.loads(line)
        said = dict(pair.split("=", 1) for pair in beacon["query"].split("&"))
        if seen is not None:
            identity = tuple([unquote_plus(said.get(name, "")) for name in IDENTITY])
            if identity in seen:
                continue
            seen.add(identity)
        kind = said["eventType"]
        if kind in ("3", "99"):
            row = rows.setdefault((said["partnerId"], said["entryId"], beacon["time"] // 10_000 * 10), [0, 0, 0])
            if kind == "3":
                row[0] += 1
            else:
                row[1] += 1
                row[2] += round(float(said["bufferTime"]) * 1000)


def consumer_of(bootstrap: str, topic: str) -> Consumer:
    """Return a consumer at the beginning of all partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "raw",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 65536,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    return consumer


def main(bootstrap: str, topic: str, total: int, out: str, mode: str) -> None:
    consumer = consumer_of(bootstrap, topic)
    rows: Rows = {}
    seen: Seen | None = set() if mode == "dedupe" else None
    handled = next_mark = 0
    while handled < total:
        for message in consumer.consume(500, 1.0):
            lines = message.value().split(b"\n")
            fold(lines, rows, seen)
            handled += len(lines)
        if handled >= next_mark:
            print("beacons", handled, flush=True)
            next_mark = handled + 10_000
    print("end", handled, flush=True)
    Path(out).write_text(json.dumps({"|".join(map(str, key)): row for key, row in rows.items()}))
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
