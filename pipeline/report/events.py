"""`/v1/events`: from a number of the report to the beacons behind it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from pipeline.dimensions import Enrichment
from pipeline.report import answer
from pipeline.report.access import Access
from pipeline.report.auth import Caller
from pipeline.report.behind import Behind, Told
from pipeline.report.cell import Cell, parse_cell, query_of
from pipeline.report.desk import Desk, Entry
from pipeline.report.feed import Applied
from pipeline.report.problem import Refused
from pipeline.report.readers import NOT_YET
from pipeline.report.routes import json_answer
from pipeline.report.scan import Looked, Scans, Stretch

# A checkpoint may come between a number and its positions, each time anew.
TRIES = 10
# The word of a checkpoint is some milliseconds behind it.
CHANGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Events:
    """The handler, and what it asks.

    Attributes:
        desk, access: who knows the report's number, and who may ask.
        scans: what reads topic `beacons`.
        told: how the worker tells repeats.
        enrichment: what reads agents and referrers as the worker does.
        most: beacons read for one answer.
    """

    desk: Desk
    access: Access
    scans: Scans
    told: Told
    enrichment: Enrichment
    most: int

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one question."""
        caller = self.access.caller(request)
        rates = self.access.take(caller)
        now = int(self.desk.clock())
        cell = parse_cell(request.rel_url.raw_query_string, caller.partner, now)
        entry, applied = await self._number(cell, caller)
        # Only what the rows include: then both numbers speak of the same beacons.
        counted = {part: one.offset for part, one in applied.positions.items()}
        newest = {part: one.time for part, one in applied.positions.items()}
        stretch = Stretch((cell.start - cell.before) * 1000, (cell.end + cell.after) * 1000, counted, self.most, newest)
        behind = Behind(cell, self.told, self.enrichment)
        looked = await self.scans.look(caller.key, stretch, behind.take)
        # Clocks differ: what came by a clock that is ahead of ours is looked at too, but nobody is told of the future.
        looked.through_ms = max(looked.from_ms, min(looked.through_ms, now * 1000))
        return json_answer(_content(cell, entry, behind, looked, caller), **rates)

    async def _number(self, cell: Cell, caller: Caller) -> tuple[Entry, Applied]:
        """Return the report's number, and the state of the store that it is of.

        Raises:
            Refused: the store moved on at every try.
        """
        for _ in range(TRIES):
            entry = await self.desk.answer(query_of(cell), caller.key)
            applied = self.desk.applied
            if applied is not None and applied.generation == entry.generation:
                if applied.revision == entry.revision:
                    return entry, applied
                if applied.revision < entry.revision:
                    # It was read before the word of what was written came.
                    await self._change()
        raise Refused(NOT_YET)

    async def _change(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CHANGE_SECONDS):
                await self.desk.changed.wait()


def _content(cell: Cell, entry: Entry, behind: Behind, looked: Looked, caller: Caller) -> dict[str, Any]:
    there = orjson.loads(entry.content)["totals"]
    sums = {name: behind.sums[name] for name in cell.sums}
    found = {name: answer.number(name, sums) for name in there}
    part: dict[str, Any] = {"from": looked.from_ms / 1000, "to": looked.through_ms / 1000, "cut": looked.cut}
    if caller.operator:
        # How much there is of everybody's is no partner's business.
        part |= {"records": looked.records, "beacons": behind.outcomes["beacons"]}
    fresh = entry.fresh
    return {
        "partnerId": cell.partner,
        "entryId": cell.entry,
        "dimensions": dict(cell.further),
        "window": cell.window.name,
        "start": cell.start,
        "metric": cell.metric,
        "inReport": there,
        "found": found,
        "equal": found == there,
        "complete": bool(fresh and fresh.complete),
        "beacons": behind.shown(inside=caller.operator),
        "totalBeacons": behind.beacons,
        "repeats": behind.repeats,
        "limit": cell.limit,
        "lookedAt": part,
    }
