"""The audience of an hour, slot by slot of 10 s: packed into a column of the read model, added up over partitions.

A row of a busy hour has 360 of these numbers, and a month of them is asked for at once. So they are added up as the
digits of one large integer, which costs a microsecond a row in place of one a number.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from pipeline.windows import HOUR_S, SLOT_S

SLOTS = HOUR_S // SLOT_S
# Bytes of a slot while partitions are added up.
_WIDE = 4
# By bytes a slot, how module struct names numbers of that size.
_WIDTHS = {1: "B", 2: "H", _WIDE: "I"}


def packed(audience: Mapping[int, int]) -> bytes | None:
    """Return the audience by slot as bytes; None where nobody watched.

    First slot (2 bytes), bytes a slot (1), then the slots up to the last one that somebody watched in, little-endian.

    Raises:
        ValueError: a slot is none of an hour, or its audience is no number that fits.
    """
    watched = {slot: number for slot, number in audience.items() if number}
    if not watched:
        return None
    first, last = min(watched), max(watched)
    low, high = min(watched.values()), max(watched.values())
    if first < 0 or last >= SLOTS or low < 0 or high >> 8 * _WIDE:
        raise ValueError("no audience of an hour")
    width = next(width for width in _WIDTHS if not high >> 8 * width)
    slots = [0] * (last - first + 1)
    for slot, number in watched.items():
        slots[slot - first] = number
    return struct.pack(f"<HB{len(slots)}{_WIDTHS[width]}", first, width, *slots)


def unpacked(slots: bytes) -> int:
    """Return packed slots as one integer whose digits, 4 bytes each, are the slots of the hour: sums are `+`."""
    first, width = int.from_bytes(slots[:2], "little"), slots[2]
    wide = bytearray((len(slots) - 3) // width * _WIDE)
    for byte in range(width):
        wide[byte::_WIDE] = slots[3 + byte :: width]
    return int.from_bytes(wide, "little") << 8 * _WIDE * first


class SlotsSum:
    """SQL aggregate: packed slots of many rows become the sum of each slot of the hour."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._sum = 0

    def step(self, slots: bytes) -> None:
        """Add one row."""
        self._sum += unpacked(slots)

    def finalize(self) -> bytes:
        """Return the sums, 4 bytes a slot."""
        return self._sum.to_bytes(SLOTS * _WIDE, "little")


def most(sums: bytes, begin: int, end: int) -> int:
    """SQL function: return the largest sum of the slots in [begin, end), seconds from the hour's start; 0 for none."""
    slots = sums[max(0, begin) // SLOT_S * _WIDE : max(0, end) // SLOT_S * _WIDE]
    return max(struct.unpack(f"<{len(slots) // _WIDE}I", slots), default=0)
