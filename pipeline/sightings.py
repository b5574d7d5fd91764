"""Whether a beacon that was sighted beyond the horizon was sighted within it too.

Times go back and forth: an old beacon out of a spool may lie between two of now. So an identity may have several marks,
each further than the horizon from the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pipeline.batch import Mark
from pipeline.store import Store


class Marked(Protocol):
    """Marks that are not in the store yet.

    Attributes:
        marks: by identity, place and time (Unix seconds) of its newest mark.
        outlived: the older ones of those that have several.
    """

    marks: dict[bytes, tuple[int, int]]
    outlived: dict[bytes, list[tuple[int, int]]]


def was_near(sighting: Mark, horizon_s: int, held: Iterable[Marked | None], store: Store) -> bool:
    """Tell whether anything that counted at another place lies within the horizon of a sighting."""
    identity, place, seconds = sighting
    sighted: set[tuple[int, int]] = set()
    for one in held:
        if one is not None:
            sighted.update(one.outlived.get(identity, ()))
            sighted |= {one.marks[identity]} if identity in one.marks else set()
    # The store has one of each epoch, and gives the latest of three: asked so, each of the three near ones.
    for asked_s in (seconds, seconds - horizon_s, seconds - 2 * horizon_s):
        sighted |= set(store.marks([identity], asked_s, asked_s).values())
    near = {at for at, time_s in sighted if abs(seconds - time_s) < horizon_s}
    # Healing, its own mark may be there already: it counted.
    return bool(near) and place not in near
