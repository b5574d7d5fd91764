"""`verify` finds nothing on a healthy line, and the one row that somebody has falsified."""

from __future__ import annotations

import time
from functools import partial

import orjson
import pytest
from confluent_kafka import Producer

from pipeline.batch import position_key
from tests.e2e.commands import beacon, broker_of, counted, did, put, run
from tests.e2e.line import Line
from tests.e2e.table import stored_beacons
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e


async def test_a_healthy_line_has_no_difference_and_a_falsified_row_is_named(line: Line) -> None:
    await line.topics()
    now = time.time_ns() // 1_000_000
    beacons = [beacon(number, now - number * 500) for number in range(600)]
    put(line, [*beacons, *beacons[::10], beacon(1000, now, partner="x")])
    worker, report = line.worker("worker-1").start_only(), line.report().start_only()
    await worker.ready()
    await report.ready()
    await counted(line)

    healthy = await did(line, "verify", "--to", str(now // 1000 + 60))
    by_report = await did(line, "verify", "--to", str(now // 1000 + 60), "--report", line.report_url)
    one_partner = await did(line, "verify", "--partner", "202")
    assert healthy.startswith("661 beacons of 8 partitions counted again in ")
    assert healthy.endswith(f"rows compared with {line.prefix}windows: all equal\n")
    assert by_report.endswith(f"rows compared with {line.report_url}: all equal\n")
    assert one_partner.endswith(f" 0 rows compared with {line.prefix}windows: all equal\n")

    await worker.stop()
    key, must_be = falsify(line)
    for against in ((), ("--report", line.report_url)):
        asked = ("verify", "--to", str(now // 1000 + 7200), *against)
        # A report shows the row a moment later.
        await until(partial(differs, line, *asked), 60, "the falsified row is found")
        found = await run(line, *asked)
        lines = found.out.splitlines()
        assert found.code == 1, found
        hour = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(key["start"]))
        assert f'1h {hour} UTC, partnerId "101"' in lines[0]
        assert f"plays is {must_be + 5}, must be {must_be}" in lines[0] or against
        assert lines[-1].endswith(": 1 DIFFER")


async def differs(line: Line, *asked: str) -> bool:
    return (await run(line, *asked)).code == 1


def falsify(line: Line) -> tuple[dict[str, int], int]:
    """Add five plays to the partner's row of the first beacon's hour and partition; return its key and its truth."""
    stored = stored_beacons(line.bootstrap, f"{line.prefix}beacons")
    first = stored[0]
    start = first.time // 3_600_000 * 3600
    sessions = {beacon.query for beacon in stored if beacon.partition == first.partition and b"=101&" in beacon.query}
    of_hour = {
        beacon.query: beacon
        for beacon in stored
        if beacon.query in sessions and beacon.time // 3_600_000 * 3600 == start
    }
    key = {"window": "1h", "start": start, "set": "partner", "partnerId": "101", "partition": first.partition}
    producer = Producer({"bootstrap.servers": line.bootstrap})
    value = orjson.dumps({"plays": len(of_hour) + 5, "offset": 0})
    producer.produce(f"{line.prefix}windows", value, orjson.dumps(key), first.partition)
    # A report takes rows in up to a position: the last one, once more.
    position = broker_of(line).positions()[first.partition]
    producer.produce(f"{line.prefix}windows", position.value(), position_key(first.partition), first.partition)
    assert producer.flush(10) == 0
    return key, len(of_hour)
