"""Sessions: in which windows each was seen, and how far each of its segments has played.

A session lives in one partition, so "is this its first event in the window?" has an exact answer here, and the
sessions of all partitions add up. Seen windows are bits, one per 10 s, so a late event finds its own window's
bit. What a session looked like (its dimension values) may change on the way: each look is a variant with bits of
its own, and a set counts a session once per window and value, whatever variants it came in. So does a look that a
clock far ahead saw a day or more from the rest, and one that was made under other settings (pipeline.looks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pipeline.catalog import Adds, EventType, Metric
from pipeline.dimensions import Remembered
from pipeline.event import Event
from pipeline.firsts import Firsts
from pipeline.looks import MOST_SLOTS, Making, Variant
from pipeline.viewers import Viewers
from pipeline.windows import HOUR_S, PEAK, SLOT_S, Cells, Shape

MOST_SEGMENTS = 32
# Of all entries together: who opens a new entry with every beacon must not make a state that Kafka does not take.
MOST_SEGMENTS_IN_ALL = 256
MOST_VARIANTS = 64
# Of one look, each with a day of its own: a clock that is ahead takes nothing from the days of the others.
MOST_DAYS = 3


@dataclass(slots=True)
class Segment:
    """One run of eventIndex: the span of its sessionStartTimes and indexes, and the largest playTimeSum (ms)."""

    started: tuple[int, int]
    indexes: tuple[int, int]
    played: int


@dataclass(slots=True)
class Session:
    """What is kept of a session.

    Attributes:
        time_s: of its latest event, Unix seconds.
        variants: its looks.
        segments: by entry, the one in play last; each entry's in order of their start.
    """

    time_s: int = 0
    variants: list[Variant] = field(default_factory=list)
    segments: dict[str, list[Segment]] = field(default_factory=dict)

    def encoded(self, making: Making) -> bytes:
        """Return it as bytes, for store and changelog."""
        segments = {entry: [(*s.started, *s.indexes, s.played) for s in runs] for entry, runs in self.segments.items()}
        return msgspec.msgpack.encode((self.time_s, [look.raw() for look in self.variants], segments, making.stamp))

    @classmethod
    def decoded(cls, raw: bytes, making: Making) -> Session:
        """Return what `encoded` wrote, its looks as this line makes them, whatever line made them; see Making.looks."""
        time_s, looks, segments, *stamp = msgspec.msgpack.decode(raw)
        return cls(
            time_s,
            making.looks(looks, stamp[0] if stamp else b""),
            {
                entry: [Segment((run[0], run[1]), (run[2], run[3]), run[4]) for run in runs]
                for entry, runs in segments.items()
            },
        )


def grown(session: Session, event: Event) -> int:
    """Return by how many milliseconds an event lets the watched time of its session grow; take notice of it.

    Watched time is the largest playTimeSum of each segment, added up. A pause of over 30 s starts a segment:
    eventIndex and playTimeSum begin again, sessionStartTime is later; a shorter pause renews only sessionStartTime
    (protocol.md sections 3 and 4). So a segment is a span of start times over which the index rises.
    """
    if event.played < 0 or event.index < 0:
        return 0
    started = event.started if event.started >= 0 else event.time // 1000
    # Taken out and put in at the end: those that nobody plays any more are forgotten first.
    runs = session.segments[event.entry] = session.segments.pop(event.entry, [])
    run = _segment_of(runs, started, event.index)
    if run is None:
        runs.append(Segment((started, started), (event.index, event.index), event.played))
        runs.sort(key=lambda one: one.started)
        del runs[:-MOST_SEGMENTS]
        while sum(map(len, session.segments.values())) > MOST_SEGMENTS_IN_ALL:
            del session.segments[next(iter(session.segments))]
        return event.played
    run.started = (min(run.started[0], started), max(run.started[1], started))
    run.indexes = (min(run.indexes[0], event.index), max(run.indexes[1], event.index))
    grew = max(0, event.played - run.played)
    run.played += grew
    return grew


def _segment_of(runs: list[Segment], started: int, index: int) -> Segment | None:
    before = after = None
    for run in runs:
        if run.started[0] <= started <= run.started[1]:
            return run
        if run.started[1] < started:
            before = run
        elif after is None:
            after = run
    if before is not None and index > before.indexes[1]:
        return before
    if after is not None and index < after.indexes[0]:
        return after
    return None


class SessionFold:
    """Counts sessions: adds each to the windows that see it for the first time.

    Attributes:
        making: by which the looks of these sessions are made.
        keeps_any: some metric needs sessions.
    """

    def __init__(self, shape: Shape, metrics: Sequence[Metric]) -> None:
        """Count the session metrics among these."""
        counted = [metric for metric in metrics if metric.adds is Adds.SESSION]
        self._names = [metric.name for metric in counted]
        self._types = [frozenset(int(kind) for kind in metric.types) for metric in counted]
        self._peak = next((n for n, types in enumerate(self._types) if types == {int(EventType.VIEW)}), None)
        self._watched = next((metric.name for metric in metrics if metric.adds is Adds.WATCHED), None)
        self.keeps_any = bool(counted) or self._watched is not None
        self._shape = shape
        self.making = Making(shape, self._names)
        self._finest_s = shape.windows[0].seconds
        self._spans = tuple(window.seconds // self._finest_s for window in shape.windows)
        self._hour = shape.index_of(HOUR_S) if self._finest_s == SLOT_S else None
        self._hashes: Remembered[tuple[str, ...], bytes] = Remembered()
        # Sketches take whoever any event shows: the metric that counts sessions whatever they do.
        self._anyone = next((n for n, types in enumerate(self._types) if not types), None)
        self._sketched = shape.sketched if self._anyone is not None else frozenset()
        self._viewers = Viewers.of(shape)

    def fold(self, session: Session, event: Event, cells: Cells, firsts: Firsts) -> None:
        """Take an event of a session in; it is no duplicate."""
        seconds = event.time // 1000
        session.time_s = max(session.time_s, seconds)
        slot = seconds // self._finest_s
        variant = self._variant(session, event.values, slot)
        bit = slot - variant.base
        for metric, types in enumerate(self._types):
            # The bit is there for all but the first event of 10 s: asked first.
            if (not types or event.type in types) and not (bit >= 0 and variant.bits[metric] >> bit & 1):
                self._sight(session, variant, metric, slot, event, firsts)
        if self._watched is not None and (grew := grown(session, event)):
            cell = cells.setdefault((slot * self._finest_s, event.values), {})
            cell[self._watched] = cell.get(self._watched, 0) + grew

    def _variant(self, session: Session, values: tuple[str, ...], slot: int) -> Variant:
        sets = self._hashes.get(values) or self._hashes.remember(values, self.making.hash(values))
        for variant in session.variants:
            if variant.sets == sets and (0 <= slot - variant.base < MOST_SLOTS or variant.reaches(slot)):
                return variant
        variant = Variant(sets, slot, [0] * len(self._names))
        session.variants.append(variant)
        alike = [one for one in session.variants if one.sets == sets]
        if len(alike) > MOST_DAYS:
            session.variants.remove(alike[0])
        del session.variants[:-MOST_VARIANTS]
        return variant

    def _sight(self, session: Session, variant: Variant, metric: int, slot: int, event: Event, firsts: Firsts) -> None:
        name, values = self._names[metric], event.values
        for index, span in enumerate(self._spans):
            if variant.has(metric, slot, span):
                # It has been in this window, so in every coarser one too.
                break
            start = slot - slot % span
            firsts.add(index, start * self._finest_s, values, name)
            if len(session.variants) > 1:
                self._correct(session, variant, metric, slot, index, values, firsts)
            if index == 0 and metric == self._peak and self._hour is not None:
                hour = slot - slot % self._spans[self._hour]
                firsts.add_peak(hour * self._finest_s, values, f"{PEAK}{slot - hour}")
            if index in self._sketched and metric == self._anyone:
                for sketch, one in self._viewers.seen(event):
                    firsts.add_seen(index, start * self._finest_s, values, sketch, one)
        variant.mark(metric, slot)

    def _correct(
        self,
        session: Session,
        variant: Variant,
        metric: int,
        slot: int,
        index: int,
        values: tuple[str, ...],
        firsts: Firsts,
    ) -> None:
        """Take back the count in sets whose value another look of this session brought to the window already."""
        span = self._spans[index]
        others = [one for one in session.variants if one is not variant and one.has(metric, slot, span)]
        if not others:
            return
        brought = {one for other in others for one in other.hashes()}
        for number, (kept, mine) in enumerate(zip(self._shape.sets, variant.hashes(), strict=True)):
            if mine in brought and index in kept.windows:
                start = (slot - slot % span) * self._finest_s
                firsts.take_back((index, number, start, kept.project(values)), self._names[metric])
                if index == 0 and metric == self._peak and self._hour is not None and kept.set.peaks:
                    hour = slot - slot % self._spans[self._hour]
                    row = (self._hour, number, hour * self._finest_s, kept.project(values))
                    firsts.take_back(row, f"{PEAK}{slot - hour}")
