"""A worker takes in a database that its operator replaces, and says what is wrong with one that cannot be read."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.e2e.commands import beacon, counted, put, rows_of
from tests.e2e.line import Line
from tests.e2e.wait import until
from tests.pipeline.enrich.databases import place, write

pytestmark = pytest.mark.e2e


def plays_by_country(line: Line) -> dict[str, int]:
    found: Counter[str] = Counter()
    for key, counts in rows_of(line).items():
        words = json.loads(key)
        if words["set"] == "country" and words["window"] == "1h":
            found[words["country"]] += counts.get("plays", 0)
    return dict(found)


async def test_a_replaced_database_counts_without_a_restart_and_a_broken_one_changes_nothing(
    line: Line, tmp_path: Path
) -> None:
    places = write(tmp_path / "places.mmdb", {"192.0.2.0/24": place("DE")})
    await line.topics()
    worker = await line.worker("worker-1", WORKER_PLACES_FILE=str(places)).start()
    now = time.time_ns() // 1_000_000

    async def count(first: int) -> dict[str, int]:
        # All from one address, whose answer is remembered.
        put(line, [replace(beacon(first + number, now), address="192.0.2.0") for number in range(80)])
        await counted(line)
        return plays_by_country(line)

    assert await count(0) == {"DE": 80}
    write(places, {"192.0.2.0/24": place("NL")})
    await until(lambda: "new files from now on, version 1" in worker.log.read_text(), 30, "the new file is read")
    assert await count(1_000) == {"DE": 80, "NL": 80}
    places.write_bytes(b"quota exceeded")
    await until(lambda: "cannot be read" in worker.log.read_text(), 30, "the worker says that the file is broken")
    assert await count(2_000) == {"DE": 80, "NL": 160}
    await worker.stop()
    assert worker.log.read_text().count("cannot be read, the last good one stays in use") == 1
