"""Keys that age: kept by epoch of one horizon each, so that a whole epoch is forgotten at once."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence

from rocksdict import Rdict, WriteBatch

_EPOCH = struct.Struct(">I")


class Aged:
    """Digests with a value each, in a part of a RocksDB key space: a prefix byte, epoch (4), digest."""

    def __init__(self, db: Rdict, prefix: bytes, horizon_s: int) -> None:
        """Find out which epochs are held."""
        self._db = db
        self._prefix = prefix
        self._horizon_s = horizon_s
        self._epochs: dict[int, bytes] = {}
        at = 0
        while True:
            key = next(iter(db.keys(from_key=prefix + _EPOCH.pack(at))), None)
            if key is None or not key.startswith(prefix):
                return
            epoch: int = _EPOCH.unpack(key[1:5])[0]
            self._epochs[epoch] = key[:5]
            at = epoch + 1

    def get(self, digests: Sequence[bytes], low_s: int, high_s: int) -> dict[bytes, bytes]:
        """Return the latest values of those digests that have one.

        Args:
            digests: what to look for.
            low_s: the earliest time of the events that ask, Unix seconds.
            high_s: the latest. What is further away than the horizon is not looked for.
        """
        found: dict[bytes, bytes] = {}
        low, high = low_s // self._horizon_s - 1, high_s // self._horizon_s + 1
        for epoch, prefix in sorted(self._epochs.items()):
            if not low <= epoch <= high or not digests:
                continue
            values = self._db.get([prefix + digest for digest in digests])
            if values.count(None) < len(values):
                held = zip(digests, values, strict=True)
                found |= {digest: value for digest, value in held if value is not None}
        return found

    def put(self, write: WriteBatch, states: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Put digests, each with its time (Unix seconds) and value, into a write batch."""
        put, horizon_s, current, prefix = write.put, self._horizon_s, -1, b""
        for digest, time_s, value in states:
            epoch = time_s // horizon_s
            if epoch != current:
                current, prefix = epoch, self.begin(epoch)
            put(prefix + digest, value)

    def begin(self, epoch: int) -> bytes:
        """Return with what the keys of an epoch begin; from now on it is one of those held."""
        return self._epochs.setdefault(epoch, self._prefix + _EPOCH.pack(epoch))

    @property
    def epochs(self) -> list[int]:
        """Return the epochs held."""
        return list(self._epochs)

    def drop_before(self, time_s: int, kept: Collection[int]) -> None:
        """Forget what is older than the horizon at `time_s`, by whole epochs, but for those to be kept."""
        oldest = time_s // self._horizon_s - 1
        for epoch in [epoch for epoch in self._epochs if epoch < oldest and epoch not in kept]:
            self._db.delete_range(self._epochs[epoch], self._prefix + _EPOCH.pack(epoch + 1))
            del self._epochs[epoch]
