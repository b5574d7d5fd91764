"""Reads the report while everything is being hurt: no row may shrink, countedThrough may claim nothing uncounted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.checks import claimed_too_early, shrunk
from tests.chaos.sending import Journal
from tests.chaos.topics import Beacons, read_beacons
from tests.e2e.table import METRICS, WINDOW_SECONDS, Table
from tests.e2e.wait import until

# Clocks are moved by up to an hour.
LEEWAY_SECONDS = 2 * 3600
RECENT_SECONDS = 120
PAUSE_SECONDS = 0.7


class NoAnswer(Exception):
    """The report could not be asked, or refused."""


class Reader:
    """Reads one report, with an operator's key if it asks for one."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._began = int(time.time())
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def ask(self, window: str, by: str, since: int | None = None) -> dict[str, Any]:
        """Return the answer about everything since an instant, of this run at most."""
        start = (since or self._began - LEEWAY_SECONDS) // 3600 * 3600 if window == "1h" else since
        start = start or self._began - LEEWAY_SECONDS
        end = int(time.time()) + LEEWAY_SECONDS
        asked = {"from": start, "to": end, "window": window, "by": by, "limit": 50000, "metrics": ",".join(METRICS)}
        timeout = aiohttp.ClientTimeout(total=20)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
                session.get(f"{self._url}/v1/report", params=asked) as answer,
            ):
                if answer.status != 200:
                    raise NoAnswer(f"{answer.status}: {await answer.text()}")
                found: dict[str, Any] = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__) from error
        assert found["totalRows"] == len(found["rows"]), "the report keeps rows back"
        return found

    async def table(self, windows: tuple[str, ...] = tuple(WINDOW_SECONDS), since: int | None = None) -> Table:
        """Return every row of these windows, of partners and of entries."""
        rows: Table = {}
        for window in windows:
            for by in ("time,partner", "time,entry"):
                rows |= rows_of(window, await self.ask(window, by, since))
        return rows

    async def whole_table(self) -> Table:
        """Return every row, asked until the report answers: nothing is hurt any more, but the machine may be busy."""
        rows: Table = {}

        async def has_answered() -> bool:
            try:
                rows.update(await self.table())
            except NoAnswer:
                return False
            return True

        await until(has_answered, 120, "the report gives every row")
        return rows

    async def counted(self, moment_ms: int, seconds: float) -> float:
        """Wait until everything answered 200 before this moment is counted; return how long that took."""

        async def is_counted() -> bool:
            try:
                answer = await self.ask("1h", "")
            except NoAnswer:
                return False
            through.append((answer["countedThrough"] or 0) * 1000)
            return through[-1] >= moment_ms

        through: list[float] = []
        try:
            return await until(is_counted, seconds, f"the report has counted through {moment_ms}", every=0.2)
        except AssertionError as late:
            raise AssertionError(f"{late}; it has through {through[-1:]}") from late


def rows_of(window: str, answer: dict[str, Any]) -> Table:
    """Return an answer's rows."""
    rows: Table = {}
    for row in answer["rows"]:
        metrics = {name: round(row[name] * 1000) if name == "bufferTime" else row[name] for name in METRICS}
        rows[window, row["time"], row["partnerId"], row.get("entryId")] = metrics
    return rows


async def settled(reader: Reader, bootstrap: str, topic: str, seconds: float) -> Beacons:
    """Return what topic beacons holds once nothing more comes and all of it is counted, each within so many seconds.

    What was cut off may come late: out of a spool, or out of a producer that still tries.
    """
    stored = -1
    while True:
        beacons = await asyncio.to_thread(read_beacons, bootstrap, topic)
        if len(beacons.stored) == stored:
            return beacons
        stored = len(beacons.stored)
        await reader.counted(int(time.time() * 1000), seconds)


@dataclass(slots=True)
class Watch:
    """Reads again and again and keeps what must not be.

    Attributes:
        clocks_agree: whether times of different processes can be compared now.
    """

    reader: Reader
    journal: Journal
    clocks_agree: Callable[[], bool]
    reads: int = 0
    unanswered: int = 0
    claims: int = 0
    findings: list[str] = field(default_factory=list)
    _before: Table = field(default_factory=dict)
    _acked: Counter[str] = field(default_factory=Counter)
    _read_to: int = 0
    _told: float = 0.0

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._read()
            except NoAnswer:
                # A report that is down or starts; that it comes back is awaited at the end.
                self.unanswered += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _read(self) -> None:
        recent = int(time.time()) - RECENT_SECONDS
        hours = await self.reader.ask("1h", "time,entry")
        rows = rows_of("1h", hours)
        agreed = self.clocks_agree()
        self._check_claim(hours["countedThrough"], rows, agreed)
        rows |= await self.reader.table(("1m",))
        rows |= await self.reader.table(("10s",), recent)
        # Rows that are too old to be asked for again are judged at the end.
        old = {key: row for key, row in self._before.items() if key[0] != "10s" or key[1] >= recent}
        self.findings += [f"report: a row shrank: {line}" for line in shrunk(old, rows)]
        self._before = rows
        self.reads += 1

    def _check_claim(self, through: float | None, rows: Table, agreed: bool) -> None:
        if through is None:
            return
        acked = self.journal.acked
        # A later claim may be an earlier instant: the clock of an ingest was set back.
        while self._read_to and acked[self._read_to - 1][0] >= through * 1000:
            self._read_to -= 1
            self._acked[acked[self._read_to][1]] -= 1
        while self._read_to < len(acked) and acked[self._read_to][0] < through * 1000:
            self._acked[acked[self._read_to][1]] += 1
            self._read_to += 1
        if agreed:
            self.claims += 1
            early = claimed_too_early(self._acked, rows)
            # The same claim stands as long as the report learns nothing new: it is told once.
            if early and through != self._told:
                self._told = through
                self.findings += [f"report: countedThrough {through} is too early: {line}" for line in early[:3]]
