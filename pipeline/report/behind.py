"""The beacons behind a number: read, told from their repeats and added up as the worker does it. Pure.

What a beacon means, which two are one, and how a segment's watched time grows is asked of the worker's own files.
What is shown of a beacon is what counts: no address, agent or page, no ks and no userId; its session as a digest.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.batch import MAX_LINES
from pipeline.catalog import DIMENSIONS, METRICS, Adds, EventType
from pipeline.dimensions import Enrichment, json_text
from pipeline.event import Event, EventReader
from pipeline.forms import Finder
from pipeline.parameters import Rejected, decoded, parameters_of, read_line, with_encoded_names
from pipeline.report.answer import number
from pipeline.report.cell import ENTRY, FURTHER, Cell
from pipeline.report.words import METRIC, PARTNER
from pipeline.sessions import Session, grown
from pipeline.windows import EMPTY

SHOWN_PARAMETERS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            "eventIndex",
            "sessionStartTime",
            "position",
            *(one.parameter for one in METRICS if one.parameter),
            *(one.name for one in DIMENSIONS if one.source == "parameter" and one.name not in ("partnerId", "entryId")),
        )
    )
)
_finder = Finder(SHOWN_PARAMETERS)
_TYPE_NAMES = {int(kind): kind.name.lower() for kind in EventType}


def may_name(partner: str) -> re.Pattern[bytes]:
    """Return what finds every line that can be of a partner, and few others: ten times faster than reading them.

    Its digits stand in the line as they are, or percent-encoded, or escaped in JSON, or in base64.
    """
    return re.compile(re.escape(partner.encode()) + rb'|%3[0-9]|\\u003|64"')


@dataclass(frozen=True, slots=True)
class Told:
    """How the worker tells repeats: settings WORKER_DEDUPE_BY and WORKER_DEDUPE_HORIZON_S."""

    by_pair: bool
    horizon_s: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """One beacon of a cell.

    Attributes:
        time: its receive time, Unix ms.
        place: partition, offset and line.
        stored: when Kafka took it in, Unix ms.
        event: what it means.
        adds: to which kept metrics it adds, and what.
        parameters: what it says, of those that count.
    """

    time: int
    place: tuple[int, int, int]
    stored: int
    event: Event
    adds: dict[str, int]
    parameters: dict[str, str]

    @property
    def order(self) -> tuple[int, tuple[int, int, int]]:
        """Return what it is sorted by."""
        return self.time, self.place


@dataclass(slots=True)
class Behind:
    """Takes records, each partition's in order, and keeps the beacons of one cell.

    Attributes:
        enrichment: what reads dimensions out of agents and referrers, where the cell asks for such.
        sums: what the cell's beacons add up to, by kept metric.
        beacons: how many they are.
        repeats: copies of them that were passed over.
        outcomes: lines looked at, and of these rejected.
    """

    cell: Cell
    told: Told
    enrichment: Enrichment | None = None
    sums: Counter[str] = field(default_factory=Counter)
    beacons: int = 0
    repeats: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    _kept: list[Sighting] = field(default_factory=list)
    _last: tuple[int, tuple[int, int, int]] | None = None
    _seen: dict[tuple[int, bytes], int] = field(default_factory=dict)
    _copies: dict[tuple[int, bytes], int] = field(default_factory=dict)
    _counted: set[tuple[str, bytes]] = field(default_factory=set)
    _sessions: dict[bytes, Session] = field(default_factory=dict)
    _reader: EventReader = field(init=False)
    _mine: re.Pattern[bytes] = field(init=False)
    _entry: str | None = field(init=False)
    _values: tuple[tuple[int, str], ...] = field(init=False)
    _carried: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Build what reads lines, with every metric: what the worker keeps is a part of them."""
        dimensions = [FURTHER[name] for name in self.cell.read]
        self._reader = EventReader(METRICS, dimensions, self.enrichment, self.told.by_pair)
        places = {name: place for place, name in enumerate((PARTNER, ENTRY, *self.cell.read))}
        self._values = tuple((places[name], orjson.dumps(value).decode()) for name, value in self.cell.further)
        self._carried = tuple(places[name] for name in self.cell.carried)
        self._mine = may_name(self.cell.partner)
        self._entry = None if self.cell.entry is None else orjson.dumps(self.cell.entry).decode()

    def take(self, partition: int, offset: int, stored: int, value: bytes) -> int:
        """Take the beacons of one record; return how many lines it has."""
        lines = value.split(b"\n")
        self.outcomes["beacons"] += len(lines)
        if len(lines) > MAX_LINES:
            return len(lines)
        for number_, line in enumerate(lines):
            if self._mine.search(line) is None:
                continue
            try:
                event = self._reader.read(line)
            except Rejected:
                self.outcomes["rejected"] += 1
                continue
            except Exception:
                # As the worker does: a line that this version trips over is a dead letter, and counts nowhere.
                self.outcomes.update(("rejected",))
                continue
            if self._concerns(event):
                self._judge(event, (partition, offset, number_), stored, line)
        return len(lines)

    def _concerns(self, event: Event) -> bool:
        """Tell whether an event can be of the cell, or an event of the cell its repeat."""
        if event.partner != self.cell.partner:
            return False
        if self.told.by_pair:
            return True
        # Else repeats share entry and type with their first sighting: nothing else has to be remembered.
        return (self._entry is None or event.entry == self._entry) and any(
            not METRIC[name].types or event.type in METRIC[name].types for name in self.cell.sums
        )

    def _is_of(self, event: Event) -> bool:
        """Tell whether an event has the cell's values; its repeats need not, as the first sighting counts."""
        values = event.values
        return (
            self._entry in (None, event.entry)
            and all(values[place] == value for place, value in self._values)
            and not any(values[place] == EMPTY for place in self._carried)
        )

    def _judge(self, event: Event, place: tuple[int, int, int], stored: int, line: bytes) -> None:
        key = (place[0], event.identity)
        seconds = event.time // 1000
        first = self._seen.get(key)
        if first is not None and abs(seconds - first) < self.told.horizon_s:
            if key in self._copies:
                self._copies[key] += 1
                self.repeats += 1
            return
        self._seen[key] = seconds
        within = self.cell.start <= seconds < self.cell.end and self._is_of(event)
        adds = self._adds(event, within)
        if adds and within:
            self._copies[key] = 0
            self.sums.update(adds)
            self.beacons += 1
            self._keep(event, place, stored, adds, line)

    def _adds(self, event: Event, within: bool) -> dict[str, int]:
        adds: dict[str, int] = {}
        for name in self.cell.sums:
            metric = METRIC[name]
            amount = 0
            if metric.adds is Adds.WATCHED:
                # How far its segment had played is known from every event before, in the window or not.
                if event.session:
                    amount = grown(self._sessions.setdefault(event.session, Session()), event)
            elif metric.adds is Adds.SESSION:
                if within and event.session and (not metric.types or event.type in metric.types):
                    amount = int((name, event.session) not in self._counted)
                    self._counted.add((name, event.session))
            else:
                amount = event.amounts.get(name, 0)
            if amount:
                adds[name] = amount
        return adds

    def _keep(self, event: Event, place: tuple[int, int, int], stored: int, adds: dict[str, int], line: bytes) -> None:
        # What will not be shown is not looked at closer: that costs more than reading the line.
        if self._last is not None and (event.time, place) > self._last:
            return
        self._kept.append(Sighting(event.time, place, stored, event, adds, parameters_shown(line)))
        if len(self._kept) >= 2 * self.cell.limit:
            self._kept = self._first()
            self._last = self._kept[-1].order

    def _first(self) -> list[Sighting]:
        return sorted(self._kept, key=lambda one: one.order)[: self.cell.limit]

    def shown(self, inside: bool) -> list[dict[str, Any]]:
        """Return the first beacons of the cell; `inside`: with their places in Kafka, which count everybody's."""
        return [self._shown(one, inside) for one in self._first()]

    def _shown(self, one: Sighting, inside: bool) -> dict[str, Any]:
        kind = one.event.type
        found: dict[str, Any] = {
            "time": one.time / 1000,
            "eventType": kind if kind >= 0 else None,
            "event": _TYPE_NAMES.get(kind),
            "entryId": orjson.loads(one.event.entry),
            "adds": {name: number(name, one.adds) for name in one.adds},
            "repeats": self._copies[one.place[0], one.event.identity],
            # An ingest that could not reach Kafka keeps beacons on its disk: they come late.
            "waited": max(0, one.stored - one.time) / 1000,
            "session": one.event.session.hex(),
            "parameters": one.parameters,
        }
        return found | (dict(zip(("partition", "offset", "line"), one.place, strict=True)) if inside else {})


def parameters_shown(line: bytes) -> dict[str, str]:
    """Return what a beacon line says that counts, decoded and cut to the bound of dimensions."""
    read = read_line(line)
    values = with_encoded_names(read, parameters_of(read, _finder), _finder)
    found = {name: value for name, value in zip(_finder.names, values, strict=True) if value is not None}
    return {name: orjson.loads(json_text(decoded(found[name]))) for name in SHOWN_PARAMETERS if name in found}
