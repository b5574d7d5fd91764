"""What the report says: every row of every window, and whether any ever shrinks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.e2e.sender import Journal, Outcome
from tests.e2e.table import METRICS, SPLIT_WINDOWS, SPLITS, WINDOW_SECONDS, Stored, Table
from tests.e2e.wait import until

SHOWN = 12


class Reader:
    """Reads one report from its URL."""

    def __init__(self, url: str, since: float | None = None) -> None:
        self._url = url
        self._since = int(time.time() if since is None else since) // 3600 * 3600

    async def ask(self, session: aiohttp.ClientSession, **asked: str) -> dict[str, Any]:
        """Return the answer to one question about everything since this reader's first hour."""
        parameters = {"from": str(self._since), "to": str(int(time.time()) + 60)} | asked
        async with session.get(f"{self._url}/v1/report", params=parameters) as answer:
            assert answer.status == 200, f"the report answers {answer.status}: {await answer.text()}"
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def table(self) -> Table:
        """Return every row of every window, of partners and of entries."""
        return await self._rows([(window, by) for window in WINDOW_SECONDS for by in ("time,partner", "time,entry")])

    async def splits(self) -> Table:
        """Return every row of the dimensions of SPLITS."""
        return await self._rows([(window, f"time,partner,{name}") for window in SPLIT_WINDOWS for name in SPLITS])

    async def _rows(self, asked: Iterable[tuple[str, str]]) -> Table:
        rows: Table = {}
        async with aiohttp.ClientSession() as session:
            for window, by in asked:
                words = {"window": window, "by": by, "limit": "50000", "metrics": ",".join(METRICS)}
                answer = await self.ask(session, **words)
                assert answer["totalRows"] == len(answer["rows"])
                rows |= dict(_row(window, row) for row in answer["rows"])
        return rows

    async def counted(self, moment_ms: int, seconds: float) -> float:
        """Wait until everything acknowledged before this moment is counted; return how long that took."""

        async def is_counted() -> bool:
            async with aiohttp.ClientSession() as session:
                answer = await self.ask(session, window="1h", by="")
            return (answer["countedThrough"] or 0) * 1000 >= moment_ms

        return await until(is_counted, seconds, f"the report has counted through {moment_ms}", every=0.2)


def _row(window: str, row: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    split = next((f"{name}={row[name]}" for name in SPLITS if name in row), None)
    key = (window, row["time"], row["partnerId"], row.get("entryId", split))
    return key, {name: round(row[name] * 1000) if name == "bufferTime" else row[name] for name in METRICS}


@dataclass(slots=True)
class Watch:
    """Reads the report again and again and keeps every row that became smaller."""

    reader: Reader
    reads: int = 0
    shrunk: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Read until cancelled."""
        before: Table = {}
        while True:
            now = await self.reader.table()
            for key, row in before.items():
                found = now.get(key, dict.fromkeys(METRICS, 0))
                if any(found[name] < row[name] for name in METRICS):
                    self.shrunk.append(f"{key}: {_short(row)} became {_short(found)}")
            before = now
            self.reads += 1
            await asyncio.sleep(1)


def _short(row: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in row.items() if value}


def differences(wanted: Table, found: Table) -> list[str]:
    """Return one line for each row that is not as it must be."""
    wrong = [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
    lines = [
        f"{key}: must be {_short(wanted.get(key, {}))}, is {_short(found.get(key, {}))}"
        for key in sorted(wrong, key=str)
    ]
    return lines[:SHOWN] + ([f"... {len(lines)} rows of {len(wanted)}"] if len(lines) > SHOWN else [])


def stage_losses(journal: Journal, stored: Iterable[Stored]) -> list[str]:
    """Return what ingest lost, and what it stored although it had refused it."""
    kept = {(beacon.query, beacon.body) for beacon in stored}
    lost = journal.keys(Outcome.ACKED) - kept
    ghosts = journal.keys(Outcome.FAILED) & kept
    lines = [f"answered 200, not in topic beacons: {key}" for key in sorted(lost)]
    lines += [f"refused, yet in topic beacons: {key}" for key in sorted(ghosts)]
    foreign = kept - journal.outcomes.keys()
    lines += [f"in topic beacons, never sent so: {key}" for key in sorted(foreign)]
    return lines[:SHOWN] + ([f"... {len(lines)} beacons"] if len(lines) > SHOWN else [])
