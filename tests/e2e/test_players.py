"""`make players` prints what it sent, and the report says the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.line import REPO, Line
from tests.e2e.reading import Reader
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e

ROW = re.compile(r"^ *(\d+) (1_media\d\d) +(\d+) +(\d+) +([\d.]+) +(\d+) +(\d+)$", re.MULTILINE)
PLAYERS = 60


def started(settings: dict[str, str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            (sys.executable, "-m", "deploy.players"), cwd=REPO, env=os.environ | settings, stdout=file
        )


async def test_the_players_table_is_the_report_s(line: Line, tmp_path: Path) -> None:
    await line.start(workers=1)
    reader = Reader(line.report_url)
    ports = {"INGEST_PORT": str(line.ingest_port), "REPORT_PORT": str(line.report_port), "PLAYERS": str(PLAYERS)}
    ports["DATA_DIR"] = str(line.folder)
    output = tmp_path / "players.txt"
    players = started(ports, output)
    try:
        await until(lambda: len(re.findall(r"^\d+ beacons", output.read_text(), re.MULTILINE)) >= 3, 60, "30 s pass")
        players.send_signal(signal.SIGINT)
        await until(lambda: players.poll() is not None, 15, "the players stop")
    finally:
        players.kill()
        players.wait()

    assert players.returncode == 0
    sent = {
        (partner, entry): (int(plays), int(views), round(float(buffer) * 1000))
        for partner, entry, plays, views, buffer, _, unanswered in ROW.findall(output.read_text())
        if unanswered == "0"
    }
    await reader.counted(time.time_ns() // 1_000_000, 60)
    async with aiohttp.ClientSession() as session:
        answer = await reader.ask(session, window="10s", by="entry", metrics="plays,views,bufferTime")
    found = {
        (row["partnerId"], row["entryId"]): (row["plays"], row["views"], round(row["bufferTime"] * 1000))
        for row in answer["rows"]
    }
    assert sum(plays for plays, _, _ in sent.values()) >= PLAYERS / 2
    assert {key: found[key] for key in sent} == sent
