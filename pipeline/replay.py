"""What a replay of the state topics yields, and where it begins."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from confluent_kafka import OFFSET_BEGINNING

OnOutside = Callable[[str, int, int, int], None]


class Replayed(msgspec.Struct, frozen=True, gc=False):
    """One record of a state topic, as a replay yields it."""

    topic: str
    offset: int
    key: bytes
    value: bytes | None


def places_to_read(
    offsets: dict[str, int], bounds: dict[str, tuple[int, int]], on_outside: OnOutside
) -> dict[str, int]:
    """Return from where to read each topic of `bounds`: the offsets wanted, as far as the logs have them.

    A log that ends before the offset wanted was deleted and made again: the store is no good then, and the other
    topic is needed from its beginning too.
    """
    places: dict[str, int] = {}
    is_shorter = False
    for topic, (low, high) in bounds.items():
        wanted = offsets.get(topic, OFFSET_BEGINNING)
        if wanted != OFFSET_BEGINNING and not low <= wanted <= high:
            on_outside(topic, wanted, low, high)
            is_shorter |= wanted > high
            wanted = OFFSET_BEGINNING
        places[topic] = wanted
    return dict.fromkeys(places, OFFSET_BEGINNING) if is_shorter else places
