"""The raw loop: consume, orjson, query to dict, count in a dict; no state. With "dedupe": a set in memory too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import unquote_plus

import orjson
from confluent_kafka import Consumer


def main(bootstrap: str, topic: str, total: int, out: str, mode: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "raw",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 65536,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    from confluent_kafka import TopicPartition

    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    rows: dict[tuple[str, str, int], list[int]] = {}
    seen: set[tuple[str | None, ...]] | None = set() if mode == "dedupe" else None
    handled = next_mark = 0
    while handled < total:
        for message in consumer.consume(500, 1.0):
            lines = message.value().split(b"\n")
            for line in lines:
                beacon = orjson.loads(line)
                said = dict(pair.split("=", 1) for pair in beacon["query"].split("&"))
                kind = said["eventType"]
                partner, entry = said["partnerId"], said["entryId"]
                if seen is not None:
                    identity = (
                        partner,
                        unquote_plus(said["sessionId"]),
                        said["eventIndex"],
                        entry,
                        kind,
                        said.get("sessionStartTime"),
                    )
                    if identity in seen:
                        continue
                    seen.add(identity)
                if kind in ("3", "99"):
                    row = rows.setdefault((partner, entry, beacon["time"] // 10_000 * 10), [0, 0, 0])
                    if kind == "3":
                        row[0] += 1
                    else:
                        row[1] += 1
                        row[2] += round(float(said["bufferTime"]) * 1000)
            handled += len(lines)
        if handled >= next_mark:
            print("beacons", handled, flush=True)
            next_mark = handled + 10_000
    print("end", handled, flush=True)
    Path(out).write_text(json.dumps({"|".join(map(str, key)): row for key, row in rows.items()}))
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
