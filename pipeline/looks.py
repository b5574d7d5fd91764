"""Looks of a session: in which windows each was seen, as bits, and by what these bits were made.

The state of a session outlives the settings that it was made under, and rows include what it says. So it says under
which windows and metrics it was made; what another line made is moved, not thrown away: what stays is not counted
again, and what comes new counts from now on. Each hash of a set names its set, so sets may come, go and change places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xxhash import xxh32_digest, xxh32_intdigest

from pipeline.windows import Shape

# Bits kept per look: a day of 10 s windows. An event further from the others begins another of the same look.
MOST_SLOTS = 8640
HASH_BYTES = 4
_FINEST_BYTES = 3
_TAG_BYTES = 2

# Of a look, as a state holds it: its sets, its base, its bits.
RawLook = tuple[bytes, int, list[bytes]]


@dataclass(slots=True)
class Variant:
    """One look of a session.

    Attributes:
        sets: a 4-byte hash per kept set, of the set and its values.
        base: the slot (finest windows since 1970) of bit 0.
        bits: per session metric, the slots with such an event.
    """

    sets: bytes
    base: int
    bits: list[int]

    @property
    def latest(self) -> int:
        """Return the latest slot with an event."""
        return self.base + max(bits.bit_length() for bits in self.bits) - 1

    def reaches(self, slot: int) -> bool:
        """Tell whether a slot is less than a day from the latest: it can be marked, and the latest day's bits stay."""
        return not self.bits or abs(slot - self.latest) < MOST_SLOTS

    def has(self, metric: int, slot: int, span: int) -> bool:
        """Tell whether the window of `span` slots that holds `slot` has such an event."""
        first = slot - slot % span - self.base
        if first <= -span:
            # Years before, maybe, where a clock was ahead: not to be shifted by as many bits.
            return False
        bits = self.bits[metric] >> first if first >= 0 else self.bits[metric] << -first
        return bool(bits & ((1 << span) - 1))

    def mark(self, metric: int, slot: int) -> None:
        """Set a slot's bit; a slot a day or more before the latest is not remembered."""
        if not 0 <= slot - self.base < MOST_SLOTS:
            latest = self.latest
            if slot < self.base and latest - slot >= MOST_SLOTS:
                return
            base = min(slot, latest) if slot < self.base else slot - MOST_SLOTS + 1
            shift = self.base - base
            self.bits = [bits << shift if shift >= 0 else bits >> -shift for bits in self.bits]
            self.base = base
        self.bits[metric] |= 1 << (slot - self.base)

    def raw(self) -> RawLook:
        """Return it as a state holds it."""
        return self.sets, self.base, [bits.to_bytes((bits.bit_length() + 7) // 8, "little") for bits in self.bits]

    def hashes(self) -> Iterator[bytes]:
        """Yield the hash of each set."""
        return (self.sets[at : at + HASH_BYTES] for at in range(0, len(self.sets), HASH_BYTES))


class Making:
    """By what the looks of a line are made: its finest window, session metrics and sets.

    Attributes:
        stamp: says the finest window and the metrics, in a few bytes.
    """

    def __init__(self, shape: Shape, metrics: Sequence[str]) -> None:
        """Make looks of these sets, with bits for these metrics, in this order."""
        self._sets = shape.sets
        self._finest_s = shape.windows[0].seconds
        self._tags = [xxh32_digest(name.encode())[:_TAG_BYTES] for name in metrics]
        self.stamp = self._finest_s.to_bytes(_FINEST_BYTES, "big") + b"".join(self._tags)
        self._names = [xxh32_intdigest(kept.set.name.encode()) for kept in shape.sets]

    def hash(self, values: tuple[str, ...]) -> bytes:
        """Return the hashes of all sets, of the values of all dimensions in use.

        The set is in its hash: found beside another set's, or in another place, it means the same.
        """
        return b"".join(
            (xxh32_intdigest("\0".join(kept.project(values)).encode()) ^ name).to_bytes(HASH_BYTES, "big")
            for kept, name in zip(self._sets, self._names, strict=True)
        )

    def looks(self, raw: Sequence[RawLook], stamp: bytes) -> list[Variant]:
        """Return the looks of a state, as this line makes them.

        Of another line's looks the metrics that are counted still are kept. Coarser windows take its slots together;
        where windows are finer now, a slot becomes the first of its parts, as no row of that size holds it yet.

        Args:
            raw: what `Variant.raw` gave.
            stamp: of who made it; b"" for a state from before there were stamps. Such a one is taken for one of this
                line's if it could be, else its looks are dropped.
        """
        looks = [
            Variant(sets, base, [int.from_bytes(bits, "little") for bits in all_bits]) for sets, base, all_bits in raw
        ]
        if stamp == self.stamp:
            return looks
        return [self._moved(look, stamp) for look in looks] if stamp else self._unstamped(looks)

    def _unstamped(self, looks: list[Variant]) -> list[Variant]:
        """Put the sets into their hashes: they were of the values alone."""
        size = HASH_BYTES * len(self._names)
        names = int.from_bytes(b"".join(name.to_bytes(HASH_BYTES, "big") for name in self._names), "big")
        return [
            Variant((int.from_bytes(look.sets, "big") ^ names).to_bytes(size, "big"), look.base, look.bits)
            for look in looks
            if (len(look.sets), len(look.bits)) == (size, len(self._tags))
        ]

    def _moved(self, look: Variant, stamp: bytes) -> Variant:
        finest_s = int.from_bytes(stamp[:_FINEST_BYTES], "big")
        tags = (stamp[at : at + _TAG_BYTES] for at in range(_FINEST_BYTES, len(stamp), _TAG_BYTES))
        had = dict(zip(tags, look.bits, strict=True))
        bits = [had.get(tag, 0) for tag in self._tags]
        if finest_s == self._finest_s:
            return Variant(look.sets, look.base, bits)
        moved = Variant(look.sets, look.base * finest_s // self._finest_s, [0] * len(bits))
        for metric, one in enumerate(bits):
            for at, bit in enumerate(reversed(f"{one:b}")):
                if bit == "1":
                    moved.mark(metric, (look.base + at) * finest_s // self._finest_s)
        return moved
