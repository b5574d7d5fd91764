"""What a record of topic `windows` says to the read model: a row, the end of a row, or a position."""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import orjson
from msgspec.structs import astuple

from pipeline.catalog import DISTINCT
from pipeline.report.schema import METRIC_NAMES, SLOTS, TABLES, Table, sketch_column
from pipeline.report.slots import packed
from pipeline.sketch import check
from pipeline.windows import PEAK, SKETCH

# One row that SQLite cannot hold would stop every row behind it for good.
LARGEST = 2**63 - 1
_TEXTS = {str}
# All that is counted, decoded as one struct: half the time of a dict that is asked for each name.
_SUMS = [(name, Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)], 0) for name in METRIC_NAMES]
_decode_sums = msgspec.json.Decoder(msgspec.defstruct("_Sums", _SUMS, gc=False)).decode
_decode_sketched = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Sketched",
        [*_SUMS, *((sketch_column(one.name), str, "") for one in DISTINCT)],
        rename={sketch_column(one.name): SKETCH + one.name for one in DISTINCT},
        gc=False,
    )
).decode
# A row comes again each second while its window is open: of the default sets at 5,000 beacons/s three of four keys are
# known. Some 20 MiB.
_KNOWN_KEYS = 32_768


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it came from Kafka."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Position:
    """Every beacon of `partition` up to `offset` is in the rows; the newest one came at `time` (ms).

    Attributes:
        ledger: what became of the partition's beacons.
        topic: id of the beacons topic that the offset is of; "" where it is not said.
    """

    partition: int
    offset: int
    time: int
    ledger: dict[str, int]
    topic: str = ""


RowKey = tuple[Any, ...]
# The metrics in catalog order, then what the table has more.
RowValues = tuple[int | bytes | None, ...]


@dataclass(slots=True)
class Batch:
    """What a run of records changes; of one row the last record counts.

    Attributes:
        rows: per table, the row's key columns and its values, or None: the row ends.
        positions: the last position of each partition.
        next_offsets: per partition, the offset after the last record.
        unreadable: records that say nothing to this catalog.
    """

    rows: dict[Table, dict[RowKey, RowValues | None]] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    next_offsets: dict[int, int] = field(default_factory=dict)
    unreadable: int = 0

    def add(self, record: Record) -> None:
        """Take one record in; a record of another catalog is counted and passed over."""
        self.next_offsets[record.partition] = record.offset + 1
        try:
            if is_position(record):
                partition = _held(orjson.loads(record.key)["position"])
                self._add_position(partition, None if record.value is None else orjson.loads(record.value))
            else:
                self._add_row(*_row_of(record.key), record.value)
        except (ValueError, KeyError, TypeError, AttributeError, msgspec.DecodeError):
            self.unreadable += 1

    def _add_position(self, partition: int, value: dict[str, Any] | None) -> None:
        if value is None:
            self.positions.pop(partition, None)
            return
        ledger = {str(name): _held(count) for name, count in value.get("ledger", {}).items()}
        topic = str(value.get("topic", ""))
        self.positions[partition] = Position(partition, _held(value["offset"]), _held(value["time"]), ledger, topic)

    def _add_row(self, table: Table, row_key: RowKey, value: bytes | None) -> None:
        values = None if value is None else _values(value, table)
        rows = self.rows.get(table)
        if rows is None:
            rows = self.rows[table] = {}
        rows[row_key] = values


def _held(number: Any) -> int:
    """Return a number that SQLite can hold.

    Raises:
        ValueError, TypeError: it is none.
    """
    held = int(number)
    if abs(held) > LARGEST:
        raise ValueError
    return held


@lru_cache(_KNOWN_KEYS)
def _row_of(key: bytes) -> tuple[Table, RowKey]:
    """Return the row that a key names.

    Raises:
        ValueError, KeyError, TypeError: it names none of this catalog.
    """
    named: dict[str, Any] = orjson.loads(key)
    table = TABLES[named["set"], named["window"]]
    start = _held(named["start"])
    dimensions = tuple(map(named.__getitem__, table.dimensions))
    if {*map(type, dimensions)} != _TEXTS:
        raise ValueError
    return table, (_held(start // table.block * table.block), *dimensions, start, _held(named["partition"]))


def _values(value: bytes, table: Table) -> RowValues:
    if not table.more:
        return astuple(_decode_sums(value))
    told = _decode_sketched(value)
    more = [_slots(value) if name == SLOTS else _sketch(getattr(told, name)) for name in table.more]
    return (*astuple(told)[: len(METRIC_NAMES)], *more)


def _slots(value: bytes) -> bytes | None:
    named = orjson.loads(value)
    return packed({int(name[len(PEAK) :]): named[name] for name in named if name.startswith(PEAK)})


def _sketch(text: str) -> bytes | None:
    if not text:
        return None
    sketch = a2b_base64(text, strict_mode=True)
    # What cannot be read fails here, where it stops one row, and not in the questions of a year.
    check(sketch)
    return sketch


def fold(records: Iterable[Record]) -> Batch:
    """Return what these records change, in order."""
    batch = Batch()
    for record in records:
        batch.add(record)
    return batch


def is_position(record: Record) -> bool:
    """Tell whether this record ends a checkpoint."""
    return record.key.startswith(b'{"position"')


def whole_checkpoints(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """Split records into those up to each partition's last position, and the rest in order.

    The rest waits for its position, so that a read never sees half a checkpoint.
    """
    last: dict[int, int] = {}
    for index, record in enumerate(records):
        if is_position(record):
            last[record.partition] = index
    ready = [r for i, r in enumerate(records) if i <= last.get(r.partition, -1)]
    rest = [r for i, r in enumerate(records) if i > last.get(r.partition, -1)]
    return ready, rest
