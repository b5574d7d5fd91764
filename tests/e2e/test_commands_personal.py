"""What the line holds of a session or partner is written out, and what can be taken away is, beside live traffic."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ingest.wire import decode
from tests.e2e.commands import beacon, counted, did, put, rows_of, run
from tests.e2e.line import Line
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e


def partners_of(line: Line) -> set[str]:
    return {json.loads(key)["partnerId"] for key in rows_of(line)}


async def plays(line: Line, partner: str, since: int) -> int:
    asked = {"window": "1h", "by": "", "metrics": "plays", "partnerId": partner}
    asked |= {"from": str(since), "to": str(since + 7200)}
    async with aiohttp.ClientSession() as session, session.get(f"{line.report_url}/v1/report", params=asked) as answer:
        found = await answer.json(content_type=None)
        return sum(row["plays"] for row in found["rows"])


def exported(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the last run."""
    newest = max(folder.glob("rows-*.ndjson.gz"))
    return [json.loads(line) for line in gzip.decompress(newest.read_bytes()).splitlines()]


async def test_a_partner_is_erased_while_the_line_counts_and_what_stays_is_said(line: Line, tmp_path: Path) -> None:
    await line.topics()
    worker, report = line.worker("worker-1").start_only(), line.report().start_only()
    now = time.time_ns() // 1_000_000
    hour_s = now // 3_600_000 * 3600
    of_101 = [beacon(number, now, "101") for number in range(80)]
    of_202 = [beacon(1000 + number, now, "202") for number in range(80)]
    put(line, [*of_101, *of_202])
    await worker.ready()
    await report.ready()
    await counted(line)
    rows = tmp_path / "history"
    await did(line, "history", "export", str(rows), "--to", "clickhouse-ndjson")
    assert sum(row["plays"] for row in exported(rows) if row["set"] == "partner") == 160
    assert (await did(line, "history", "export", str(rows), "--to", "clickhouse-ndjson")).startswith("0 rows changed")

    one = await run(line, "export", "--session", "s7")
    assert ([decode(text.encode()) for text in one.out.splitlines()], one.err) == ([of_101[7]], "1 beacons\n")
    out = tmp_path / "of-101"
    assert (await run(line, "export", "--partner", "101", "--out", str(out))).err == "80 beacons\n"
    assert {decode(text).id for text in out.read_bytes().splitlines()} == {beacon.id for beacon in of_101}

    erased = await did(line, "erase", "--partner", "101", "--yes")
    assert f"topic {line.prefix}beacons holds 80 raw beacons of it" in erased
    assert "raw beacons stay until " in erased
    assert partners_of(line) == {"202"}

    async def is_gone() -> bool:
        return await plays(line, "101", hour_s) == 0

    await until(is_gone, 60, "the report shows nothing of partner 101")
    # The worker was fenced and goes on; what comes later counts from nothing, and nothing else was touched.
    put(line, [beacon(5000 + number, now, "101") for number in range(16)])
    assert (await counted(line))["ledger"]["unique"] == 176

    async def has_sixteen() -> bool:
        return await plays(line, "101", hour_s) == 16 and await plays(line, "202", hour_s) == 80

    await until(has_sixteen, 60, "the report shows the new plays of partner 101")
    await did(line, "history", "export", str(rows), "--to", "clickhouse-ndjson")
    again = [row for row in exported(rows) if row["set"] == "partner" and row["partnerId"] == "101"]
    assert sum(row["plays"] for row in again) == 16

    cut = await did(line, "erase", "--session", "s1007", "--cut-log", "--yes")
    assert "deleted everybody's raw beacons up to the last of these, in 1 partitions" in cut
    assert (await run(line, "export", "--session", "s1007")).err == "0 beacons\n"
    assert await plays(line, "202", hour_s) == 80
