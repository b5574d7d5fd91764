"""Old logs count in windows of their own time, once, however often and however cut they come."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ingest.wire import encode
from pipeline.commands.notes import Note, digest_of, note_key, pack_note
from pipeline.commands.oldlogs import LogReader
from pipeline.commands.putting import Done, Putter, Ready
from pipeline.config import RefusedSetting
from tests.e2e.commands import beacon, broker_of, counted, did, put, rows_of, run
from tests.e2e.line import Line
from tests.e2e.table import METRICS, stored_beacons, table_of

pytestmark = pytest.mark.e2e

# IMPORT_LINES=100000: a minute more.
LINES = int(os.environ.get("IMPORT_LINES", "3000"))
LIVE = 64


def access_log(begin_s: int) -> list[str]:
    """Return an access log of sessions of ten beacons; every twentieth request is repeated at once."""
    lines = []
    for number in range(LINES):
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(begin_s + number // 3))
        query = (
            f"service=analytics&eventType={(3, 99, 99, 2)[number % 4]}&partnerId=101&entryId=1_e{number % 9}"
            f"&sessionId=old{number // 10}&eventIndex={number % 10}&bufferTime=0.5"
        )
        line = f'203.0.113.9 - - [{stamp}] "GET /api_v3/index.php?{query} HTTP/1.1" 200 10 "-" "player"'
        lines += [line] * (2 if number % 20 == 0 else 1)
    return [*lines, lines[0].replace("/api_v3/index.php", "/favicon.ico")]


async def test_an_access_log_is_counted_once_whatever_is_imported_again(line: Line, tmp_path: Path) -> None:
    await line.topics()
    worker = line.worker("worker-1").start_only()
    now = time.time_ns() // 1_000_000
    # Live beacons in every partition, so that each knows what time it is.
    put(line, [beacon(number, now) for number in range(LIVE)])
    # Before the dedupe horizon of live traffic, yet within the hour rows' and minute rows' retention.
    begin_s = now // 1000 // 3600 * 3600 - 3 * 86_400
    lines = access_log(begin_s)
    whole, rotated, grown = tmp_path / "access.log", tmp_path / "access.log.1.gz", tmp_path / "grown.log"
    whole.write_text("\n".join(lines) + "\n")
    with gzip.open(rotated, "wt") as file:
        file.write("\n".join(lines[: LINES // 2]) + "\n")
    grown.write_text("\n".join([*lines, "what is this"]) + "\n")
    requests = len(lines) - 1
    leave_unfinished(line, lines[:50])

    await worker.ready()
    await counted(line)
    first = await did(line, "import", "--rate", "4000", str(rotated))
    rest = await did(line, "import", str(whole), str(rotated))
    again = await run(line, "import", str(grown))
    status = await counted(line)

    half = requests_in(lines[: LINES // 2])
    assert first.splitlines()[-1] == f"put {half} beacons, 0 were put before"
    assert "1 lines without one (another path)" in rest.splitlines()[0]
    assert rest.splitlines()[-1] == f"put {requests - half} beacons, {2 * half} were put before"
    assert (again.code, again.err) == (
        1,
        f"{grown}, line {len(lines) + 1}: neither JSON nor combined log format\nError: 1 lines could not be read\n",
    )
    assert again.out.splitlines()[-1] == f"put 0 beacons, {requests} were put before"
    assert {name: status["ledger"][name] for name in ("beacons", "unique", "duplicates")} == {
        "beacons": requests + LIVE,
        "unique": LINES + LIVE,
        "duplicates": requests - LINES,
    }
    found: dict[tuple[str, int, str, str | None], Counter[str]] = defaultdict(Counter)
    for key, row in rows_of(line).items():
        words = json.loads(key)
        if words["set"] not in ("partner", "entry"):
            continue
        place = (words["window"], words["start"], words["partnerId"], words.get("entryId"))
        found[place].update(row)
    wanted = table_of(stored_beacons(line.bootstrap, f"{line.prefix}beacons"))
    # 10 s windows of three days ago are over their retention.
    kept = {place: row for place, row in wanted.items() if place[0] != "10s" or place[1] > begin_s + 86_400}
    assert {place: {name: row[name] for name in METRICS} for place, row in found.items()} == kept
    hours = Counter[str]()
    for (window, start, _, entry), row in found.items():
        if window == "1h" and entry is None and start < begin_s + 86_400:
            hours.update(row)
    assert (hours["plays"], hours["views"], hours["bufferTime"]) == (LINES // 4, LINES // 2, LINES // 2 * 500)
    assert (await did(line, "verify")).endswith(": all equal\n")


async def test_a_second_import_ends_the_first_which_says_so(line: Line) -> None:
    await line.topics()
    first, second = Putter(broker_of(line)), Putter(broker_of(line))
    first.begin(0, 1)
    second.begin(0, 1)
    old, _ = LogReader().read(access_log(1_795_000_000)[0].encode())
    ready = Ready(old.id, old.time, 0, encode(old))
    with pytest.raises(RefusedSetting) as refused:
        first.put([ready])
    assert refused.value.line == "another import or replay of this line has begun: only one at a time"
    assert (second.put([ready, ready]), second.put([ready])) == (Done(1, 1), Done(0, 1))


def requests_in(lines: list[str]) -> int:
    return sum("/api_v3/" in line for line in lines)


def leave_unfinished(line: Line, lines: list[str]) -> None:
    """Be an import that died after its note and before its beacons: nothing of it may count as put."""
    topic = f"{line.prefix}imports"
    admin = AdminClient({"bootstrap.servers": line.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    reader = LogReader()
    beacons = [reader.read(text.encode())[0] for text in lines]
    digests = frozenset(digest_of(beacon.id) for beacon in beacons)
    note = Note(False, beacons[0].time, beacons[-1].time, digests)
    producer = Producer({"bootstrap.servers": line.bootstrap})
    producer.produce(topic, pack_note(note), note_key(digests), 0)
    assert producer.flush(10) == 0
