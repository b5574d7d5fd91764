"""`erase` takes a partner's rows away from every partition that has some, and asks nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.batch import Batch, Position, position_key
from pipeline.changelog import Lost, Topics
from pipeline.commands import personal
from pipeline.commands.broker import Offsets

ROW = b'{"window":"1h","start":0,"set":"partner","partnerId":"7","partition":0}'
Record = tuple[bytes, bytes]


class MemoryBroker:
    """Stands where pipeline.commands.broker.Broker stands, with one partition of `windows`."""

    topics = Topics.of("", "")
    group = "pipeline"
    kafka = SimpleNamespace(librdkafka=dict)

    def __init__(self, *windows: Record) -> None:
        self.windows = windows

    def starts(self, topic: str) -> Offsets:
        return {0: 0}

    def ends(self, topic: str, committed: bool = False) -> Offsets:
        return {0: len(self.windows) if topic == "windows" else 0}

    def read(self, topic: str, begin: Offsets, end: Offsets) -> Iterator[list[Any]]:
        for key, value in self.windows[begin[0] : end[0]]:
            yield [SimpleNamespace(key=lambda key=key: key, value=lambda value=value: value)]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """What is committed."""
    batches: list[Batch] = []
    changelog = SimpleNamespace(fence=lambda: None, commit=batches.append, close=lambda: None)
    monkeypatch.setattr(personal, "Changelog", lambda *_: changelog)
    return batches


def deleted(*windows: Record) -> int:
    broker: Any = MemoryBroker(*windows)
    return personal._delete_in(broker, "7", 0)


def test_a_partition_that_never_had_a_beacon_is_passed_over(written: list[Batch]) -> None:
    assert (deleted(), written) == (0, [])


def test_rows_that_no_worker_has_counted_on_are_told_from_a_torn_checkpoint(written: list[Batch]) -> None:
    with pytest.raises(Lost, match="no worker has counted it yet: start the workers"):
        deleted((ROW, b'{"plays":1,"offset":3}'))
    torn = Position(offset=3, rows=2)
    with pytest.raises(Lost, match="its last checkpoint is not whole"):
        deleted((ROW, b'{"plays":1,"offset":3}'), (position_key(0), torn.value()))
    assert written == []


def test_rows_are_erased_where_an_earlier_erasure_and_compaction_left_one_position_row_of_two(
    written: list[Batch],
) -> None:
    erased = Position(previous=3, offset=3, time=9, ledger={"beacons": 4}, topic="t")
    assert deleted((ROW, b'{"plays":1,"offset":3}'), (position_key(0), erased.value())) == 1
    assert [(batch.expired, batch.position) for batch in written] == [([ROW], erased)]
