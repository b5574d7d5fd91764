"""`repartition`: a line with more partitions counts what the old one counted, to the row, and goes on."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from tests.e2e.commands import beacon, counted, did, put, run
from tests.e2e.line import Line
from tests.e2e.reading import Reader, differences
from tests.e2e.table import stored_beacons, table_of

pytestmark = pytest.mark.e2e


async def test_more_partitions_give_the_same_rows_and_run_again_nothing_twice(line: Line) -> None:
    """Old line, 8 partitions:  |==1,200 beacons, some again==|==300 more==|
    Carried to 13 partitions:                               ^            ^  ^
    """
    now = time.time_ns() // 1_000_000
    await line.topics()
    sent = [beacon(n, now - n * 400) for n in range(1200)]
    put(line, sent)
    # Sent again by a browser, and written again by an ingest that did not hear Kafka's answer.
    put(line, [replace(one, id=f"again-{one.id}") for one in sent[::7]])
    put(line, sent[::100])
    new = Line(line.bootstrap, line.prefix + "v2-", line.folder / "new", PARTITIONS="13")
    try:
        await new.topics()
        carried = ("repartition", "--from", line.prefix, "--rate", "100000")
        said = await did(new, *carried)
        assert said == "put 1372 beacons into 13 partitions, 12 were put before, 0 unreadable left\n"
        put(line, [beacon(n, now - n) for n in range(1200, 1500)])
        wanted = table_of(stored_beacons(line.bootstrap, f"{line.prefix}beacons"))
        put(line, [b"no beacon"])
        said = await did(new, *carried)
        assert said == "put 300 beacons into 13 partitions, 1384 were put before, 1 unreadable left\n"
        assert (await did(new, *carried)).startswith("put 0 beacons ")

        worker, report = new.worker("worker-1").start_only(), new.report().start_only()
        await worker.ready()
        await report.ready()
        await counted(new)
        found = await Reader(new.report_url, since=sent[-1].time / 1000).table()
        assert differences(wanted, found) == []
        assert (await did(new, "verify", "--to", str(now // 1000 + 60))).endswith(": all equal\n")
    finally:
        new.close()


async def test_its_own_line_and_a_line_that_is_not_there_are_refused_in_one_line(line: Line) -> None:
    await line.topics()
    own, absent = await run(line, "repartition", "--from", line.prefix), await run(line, "repartition", "--from", "no-")
    assert (own.code, absent.code) == (2, 2)
    assert own.err.count("\n") == absent.err.count("\n") == 1
