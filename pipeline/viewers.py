"""Whom an event shows, as the hashes that sketches take: its session, and its user where it names one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xxhash import xxh3_128_digest

from pipeline.catalog import DISTINCT
from pipeline.event import Event
from pipeline.sketch import hash_of
from pipeline.windows import EMPTY, Shape


@dataclass(frozen=True, slots=True)
class Viewers:
    """Reads who is to be counted.

    Attributes:
        names: of the sketches that a line keeps, each with the place of its dimension's value; None: the session.
    """

    names: tuple[tuple[str, int | None], ...]

    @classmethod
    def of(cls, shape: Shape) -> Viewers:
        """Return what fits a line: a dimension that none of its sets has is in no event."""
        places = {name: place for place, name in enumerate(shape.dimensions)}
        kept = (one for one in DISTINCT if one.dimension is None or one.dimension in places)
        return cls(tuple((one.name, None if one.dimension is None else places[one.dimension]) for one in kept))

    def seen(self, event: Event) -> Iterator[tuple[str, int]]:
        """Yield by name whom an event of a session shows. Anonymous viewers are as many as their sessions."""
        for name, place in self.names:
            value = EMPTY if place is None else event.values[place]
            if value == EMPTY:
                yield name, hash_of(event.session)
            else:
                yield name, hash_of(xxh3_128_digest(f"{event.partner}\0{value}".encode()))
