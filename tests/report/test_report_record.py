"""What records of topic `windows` do to the read model."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.record import Batch, Position, Record, fold, whole_checkpoints
from pipeline.report.schema import METRIC_NAMES, TABLES

KEY = {"window": "10s", "start": 1_795_424_830, "set": "entry", "partnerId": "7", "entryId": "x", "partition": 3}
ROW_KEY = (1_795_424_400, "7", "x", 1_795_424_830, 3)


def row(offset: int, value: dict[str, int] | None, partition: int = 3, **key: object) -> Record:
    return Record(partition, offset, orjson.dumps(KEY | key), None if value is None else orjson.dumps(value))


def position(offset: int, partition: int = 3) -> Record:
    value = {"previous": 1, "offset": 9, "time": 5000, "rows": 1, "ledger": {"beacons": 4}, "topic": "t"}
    return Record(partition, offset, b'{"position":%d}' % partition, orjson.dumps(value))


def test_a_row_a_position_and_the_offsets_come_together() -> None:
    batch = fold([row(5, {"plays": 2, "bufferTime": 103, "offset": 9}), position(6)])
    sums = tuple({"plays": 2, "bufferTime": 103}.get(name, 0) for name in METRIC_NAMES)
    assert batch == Batch(
        rows={TABLES["entry", "10s"]: {ROW_KEY: sums}},
        positions={3: Position(3, 9, 5000, {"beacons": 4}, "t")},
        next_offsets={3: 7},
        unreadable=0,
    )


def test_of_one_row_the_last_record_counts_a_tombstone_too() -> None:
    table = TABLES["entry", "10s"]
    assert fold([row(1, {"plays": 1}), row(2, None)]).rows == {table: {ROW_KEY: None}}
    assert fold([row(1, None), row(2, {"plays": 1})]).rows[table][ROW_KEY] is not None


def test_records_of_another_catalog_are_counted_and_passed_over() -> None:
    strange = [
        row(1, {"plays": 1}, set="country"),
        row(2, {"plays": 1}, window="5m"),
        row(3, {"plays": 1}, entryId=7),
        row(4, {"plays": 1}, start="x"),
        row(5, {"plays": 2**63}),
        Record(3, 6, b"", b"{}"),
        Record(3, 7, b"[]", b"{}"),
        Record(3, 8, orjson.dumps(KEY), b"{"),
        Record(3, 9, b'{"position":3}', b"{}"),
        row(10, {"plays": 1}, start=2**63),
        row(11, {"plays": 1}, start=-(2**63) + 1),
        Record(3, 12, orjson.dumps(KEY | {"partition": 2**63}), b"{}"),
        Record(3, 13, b'{"position":9223372036854775808}', b'{"offset":1,"time":1}'),
        Record(3, 14, b'{"position":3}', b'{"offset":9223372036854775808,"time":1}'),
        Record(3, 15, b'{"position":3}', b'{"offset":1,"time":1e30}'),
        Record(3, 16, b'{"position":3}', b'{"offset":1,"time":1,"ledger":{"beacons":1e30}}'),
    ]
    assert fold(strange) == Batch(next_offsets={3: 17}, unreadable=len(strange))


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_a_checkpoint_is_let_through_whole_or_waits(shape: list[tuple[int, bool]]) -> None:
    """p0: r r P r   ->  ready r r P, waiting r."""
    records = [
        position(index, partition) if ends else row(index, {"plays": 1}, partition)
        for index, (partition, ends) in enumerate(shape)
    ]
    ready, rest = whole_checkpoints(records)
    assert sorted(ready + rest, key=lambda r: r.offset) == records
    assert [r.offset for r in ready] == sorted(r.offset for r in ready)
    for partition in range(3):
        mine = [r for r in records if r.partition == partition]
        last = max((i for i, r in enumerate(mine) if r.key.startswith(b'{"position"')), default=-1)
        assert [r for r in ready if r.partition == partition] == mine[: last + 1]
        assert [r for r in rest if r.partition == partition] == mine[last + 1 :]
