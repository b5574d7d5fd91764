"""Rejected beacons are listed, shown, repaired and put back, once, however often the command is run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ingest.wire import encode
from tests.e2e.commands import beacon, counted, did, put, run
from tests.e2e.line import Line

pytestmark = pytest.mark.e2e

DAY_MS = 86_400_000


async def test_repaired_beacons_are_put_back_once_and_count_in_windows_of_their_own_time(
    line: Line, tmp_path: Path
) -> None:
    await line.topics()
    now = time.time_ns() // 1_000_000
    # Three days old: its seen mark is beyond the horizon, so only the command itself can know that it was put.
    broken = beacon(1, now - 3 * DAY_MS, partner="x101")
    put(line, [beacon(2, now), broken, b"\xff{", beacon(3, now)])
    await line.worker("worker-1").start()
    status = await counted(line)
    assert status["ledger"] == {
        "beacons": 4,
        "unique": 2,
        "rejected": 2,
        "rejected.bad_partner": 1,
        "rejected.unreadable_line": 1,
    }

    listed = (await did(line, "rejected", "list", "--json", "--reason", "bad_partner")).splitlines()
    letter = json.loads(listed[0])
    assert (len(listed), letter["raw"]) == (1, encode(broken).decode())
    shown = await run(line, "rejected", "show", letter["place"])
    assert (shown.code, shown.out.encode()) == (0, encode(broken) + b"\n")
    assert "would be rejected again (bad_partner)" in shown.err
    assert (await did(line, "rejected", "replay")) == (
        "put back 0, put back before 0; still unreadable: 1 bad_partner, 1 unreadable_line\n"
    )

    edited = tmp_path / "letters"
    edited.write_text(json.dumps(letter) + "\n")
    refused = await run(line, "rejected", "replay", "--edited", str(edited))
    assert (refused.code, refused.err.splitlines()[0]) == (1, f"{letter['place']}: still bad_partner")
    edited.write_text(json.dumps(letter | {"raw": letter["raw"].replace("x101", "101")}) + "\n")
    assert await did(line, "rejected", "replay", "--edited", str(edited)) == "put back 1, put back before 0\n"
    once = await counted(line)
    # Live traffic after it, so that a mark of three days ago would be forgotten.
    put(line, [beacon(4, now), beacon(5, now)])
    await counted(line)
    assert await did(line, "rejected", "replay", "--edited", str(edited)) == "put back 0, put back before 1\n"
    twice = await counted(line)

    assert once["ledger"]["unique"] == 3
    assert twice["ledger"] == once["ledger"] | {"beacons": 7, "unique": 5}
    assert twice["addsUp"]


async def test_a_command_whose_kafka_is_away_says_so_in_one_line(line: Line) -> None:
    said = await run(line, "rejected", "list", KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert said.err.startswith("Kafka at KAFKA_BOOTSTRAP=127.0.0.1:1: ")


async def test_a_command_without_its_topics_says_what_to_do(line: Line) -> None:
    said = await run(line, "status")
    assert (said.code, said.out, said.err) == (
        2,
        "",
        f"there is no topic {line.prefix}beacons: check TOPIC_PREFIX, or run: python -m pipeline topics\n",
    )
