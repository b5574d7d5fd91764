"""Quix Streams exactly-once on the job, in two ways.

All beacons of a session are in one partition, so the seen marks need no repartition: the records get one constant
key, a mark is one key of that partition's RocksDB, and a whole record is deduped in one call. Then
window: group_by entry and a tumbling window, as its documentation leads (one repartition topic).
bare:   the rows are kept in the same store by hand: no repartition, no window of Quix.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import orjson
import quixstreams.dataframe.windows.aggregations as agg
from quixstreams import Application, State, message_context
from quixstreams.models.serializers import Deserializer, SerializationContext

COMMIT_SECONDS = 1.0
IDENTITY = ("partnerId", "sessionId", "eventIndex", "entryId", "eventType", "sessionStartTime")

handled = sent = counted = 0
rows: dict[str, list[int]] = {}


class OneKey(Deserializer):
    """The one key under which a partition's marks are kept."""

    def __call__(self, value: bytes, ctx: SerializationContext) -> bytes:
        return b"p"


def read(packed: bytes) -> list[dict[str, Any]]:
    """Return what the job needs of each beacon in a record."""
    return [event(line) for line in packed.split(b"\n")]


def event(line: bytes) -> dict[str, Any]:
    """Return what the job needs of one beacon: its row is None when it is neither play nor view."""
    beacon = orjson.loads(line)
    said = dict(pair.split("=", 1) for pair in beacon["query"].split("&"))
    identity = "\n".join([unquote_plus(said.get(name, "")) for name in IDENTITY])
    kind, row = said["eventType"], None
    if kind == "3":
        row = [1, 0, 0]
    elif kind == "99":
        row = [0, 1, round(float(said["bufferTime"]) * 1000)]
    return {
        "mark": hashlib.md5(identity.encode()).digest(),
        "key": f"{said['partnerId']}|{said['entryId']}",
        "time": beacon["time"],
        "row": row,
    }


def split(packed: bytes, state: State) -> list[dict[str, Any]]:
    """Return the plays and views of a record that were not seen before."""
    global handled, sent
    fresh = []
    for found in read(packed):
        handled += 1
        mark = found.pop("mark")
        if state.get_bytes(mark) is None:
            state.set_bytes(mark, b"1")
            if found["row"]:
                fresh.append(found)
    sent += len(fresh)
    return fresh


def keep(packed: bytes, state: State) -> None:
    """Count the fresh plays and views of a record in the same store."""
    global counted
    for found in split(packed, state):
        window = f"{found['key']}|{found['time'] // 10_000 * 10}"
        row = [a + b for a, b in zip(state.get(window, [0, 0, 0]), found["row"], strict=True)]
        state.set(window, row)
        rows[f"{message_context().partition}|{window}"] = row
        counted += 1


def add(row: list[int], event: dict[str, Any]) -> list[int]:
    """Return a window's row with an event added."""
    return [a + b for a, b in zip(row, event["row"], strict=True)]


def emitted(result: dict[str, Any], key: Any, timestamp: int, headers: Any) -> None:
    global counted
    counted += 1
    rows[f"{key if isinstance(key, str) else key.decode()}|{result['start'] // 1000}"] = result["row"]


def main(bootstrap: str, topic: str, group: str, total: int, state: str, out: str, mode: str) -> None:
    app = Application(
        bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        state_dir=state,
        processing_guarantee="exactly-once",
        loglevel="WARNING",
        producer_extra_config={"compression.type": "lz4", "linger.ms": 50},
        consumer_poll_timeout=0.1,
    )
    source = app.topic(topic, key_deserializer=OneKey(), value_deserializer="bytes")
    table = app.dataframe(source)
    if mode == "bare":
        table.update(keep, stateful=True)
    else:
        fresh = table.apply(split, stateful=True, expand=True)
        keyed = fresh.group_by("key", key_serializer="str", key_deserializer="str")
        # Behind the repartition topic: there our Kafka's LogAppendTime replaces a record's time (Kafka Streams sets its
        # own topics to CreateTime, Quix does not).
        timed = keyed.set_timestamp(lambda found, *_: found["time"])
        timed.tumbling_window(timedelta(seconds=10), grace_ms=timedelta(hours=1)).agg(
            row=agg.Reduce(reducer=add, initializer=lambda found: found["row"])
        ).current().update(emitted, metadata=True)
    threading.Thread(target=watch, args=(total, out, mode), daemon=True).start()
    app.run()


def added(parts: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return rows added over partitions."""
    total: dict[str, list[int]] = {}
    for key, row in parts.items():
        window = key.partition("|")[2]
        total[window] = [a + b for a, b in zip(total.get(window, [0, 0, 0]), row, strict=True)]
    return total


def watch(total: int, out: str, mode: str) -> None:
    """Say how far it is; once all is counted and a commit has passed, write the counts and leave."""
    said = 0
    while handled < total or counted < sent:
        if handled >= said + 2000:
            said = handled
            print("beacons", said, flush=True)
        time.sleep(0.01)
    time.sleep(COMMIT_SECONDS + 0.5)
    print("end", handled, flush=True)
    Path(out).write_text(json.dumps(added(rows) if mode == "bare" else rows))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), *sys.argv[5:])
