"""Faust with plain Tables on the job: seen marks in one table, rows in the store named (rocksdb, memory).

plain:    one table of rows, the window in its key, so that a play or view costs one read and one write.
windowed: three tumbling tables (plays, views, buffer time), as Faust's documentation leads.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import faust
import orjson
import xxhash

IDENTITY = ("partnerId", "sessionId", "eventIndex", "entryId", "eventType", "sessionStartTime")
Row = tuple[int, int, int]


def settings(bootstrap: str, group: str, state: str, store: str) -> faust.App:
    return faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store=f"{store}://",
        datadir=state,
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=4,
        table_cleanup_interval=3600.0,
        broker_commit_interval=1.0,
        stream_wait_empty=False,
        stream_buffer_maxsize=4096,
        producer_linger=0.05,
        producer_compression_type="lz4",
        consumer_auto_offset_reset="earliest",
    )


class PlainRows:
    """One table, the window in the key."""

    def __init__(self, app: faust.App) -> None:
        self._rows = app.Table("rows", partitions=4)

    def add(self, key: str, time: int, row: Row) -> None:
        window = f"{key}|{time // 10_000 * 10}"
        before = self._rows.get(window)
        self._rows[window] = [a + b for a, b in zip(before, row, strict=True)] if before else row

    def all(self) -> Iterator[tuple[str, Row]]:
        yield from self._rows.items()


class WindowedRows:
    """Three tumbling tables."""

    def __init__(self, app: faust.App) -> None:
        self._tables = [
            app.Table(name, partitions=4, default=int).tumbling(10.0, expires=3600.0)
            for name in ("plays", "views", "buffer")
        ]

    def add(self, key: str, time: int, row: Row) -> None:
        for table, added in zip(self._tables, row, strict=True):
            if added:
                table.relative_to(time / 1000)[key] += added

    def all(self) -> Iterator[tuple[str, Row]]:
        for place, table in enumerate(self._tables):
            for (key, window), value in table.table.items():
                yield f"{key}|{int(window[0])}", tuple(value if at == place else 0 for at in range(3))  # type: ignore[misc]


def read(line: bytes) -> tuple[bytes, str, int, Row]:
    """Return identity, (partner, entry), time and row of one beacon."""
    beacon = orjson.loads(line)
    said = dict(pair.split("=", 1) for pair in beacon["query"].split("&"))
    mark = xxhash.xxh3_128_digest("\n".join([unquote_plus(said.get(name, "")) for name in IDENTITY]).encode())
    row = (0, 0, 0)
    if said["eventType"] == "3":
        row = (1, 0, 0)
    elif said["eventType"] == "99":
        row = (0, 1, round(float(said["bufferTime"]) * 1000))
    return mark, f"{said['partnerId']}|{said['entryId']}", beacon["time"], row


def main(bootstrap: str, topic: str, group: str, total: int, state: str, out: str, store: str, mode: str) -> None:
    app = settings(bootstrap, group, state, store)
    seen = app.Table("seen", partitions=4, key_type=bytes, value_type=bytes)
    rows = WindowedRows(app) if mode == "windowed" else PlainRows(app)

    @app.agent(app.topic(topic, value_serializer="raw", key_serializer="raw"))
    async def count(stream: Any) -> None:
        handled = said = 0
        async for packed in stream:
            for line in packed.split(b"\n"):
                mark, key, time, row = read(line)
                handled += 1
                if not seen.get(mark):
                    seen[mark] = b"1"
                    if any(row):
                        rows.add(key, time, row)
            if handled >= said + 2000 or handled >= total:
                said = handled
                print("beacons", handled, flush=True)
            if handled >= total:
                asyncio.get_running_loop().call_later(2.0, finish, handled)

    def finish(handled: int) -> None:
        print("end", handled, flush=True)
        counts: dict[str, list[int]] = {}
        for key, row in rows.all():
            counts[key] = [a + b for a, b in zip(counts.get(key, [0, 0, 0]), row, strict=True)]
        Path(out).write_text(json.dumps(counts))
        os._exit(0)

    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), *sys.argv[5:])
