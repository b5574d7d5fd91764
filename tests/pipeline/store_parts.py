"""Rows, marks and checkpoints for the tests of the store, from a few words."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.batch import Batch, Mark, Position
from pipeline.catalog import SETS, WINDOWS
from pipeline.store import Store, row_place
from pipeline.windows import Shape, row_key
from tests.pipeline.lines import NOON

HORIZON_S = 3600
SHAPE = Shape.of(WINDOWS, SETS[:2])


def row_of(start: int = NOON, partner: str = "1", window: int = 0, plays: int = 1) -> tuple[bytes, bytes]:
    return row_key((window, 0, start, (f'"{partner}"',)), SHAPE, 0), b'{"plays":%d,"offset":1}' % plays


def mark_of(name: str, offset: int = 1, time_s: int = NOON) -> Mark:
    return name.encode().ljust(16, b"."), offset << 16, time_s


def batch_of(
    rows: Sequence[tuple[bytes, bytes]] = (),
    marks: Sequence[Mark] = (),
    expired: Sequence[bytes] = (),
    offset: int = 1,
) -> Batch:
    return Batch([*rows], [*expired], [*marks], [], [], Position(offset=offset, ledger={"beacons": offset}))


def apply_to(store: Store, batch: Batch, offsets: dict[str, int] | None = None) -> None:
    store.apply(batch, [row_place(key) for key, _ in batch.rows], offsets or {"windows": batch.position.offset})
