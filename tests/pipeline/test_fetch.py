"""The fetch: records grouped by partition, faults noted, and every start told apart from the one before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from confluent_kafka import KafkaError
from faust.types import TP

from pipeline import fetch as fetch_module
from pipeline.fetch import Consumer, Fetch, Transport


class FakeConsumer:
    """Takes the calls of librdkafka's consumer; gives what the test put in."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.calls: list[tuple[str, int, int]] = []
        self.queue: list[Any] = []

    def incremental_assign(self, parts: list[Any]) -> None:
        self.calls += [("assign", part.partition, part.offset) for part in parts]

    def incremental_unassign(self, parts: list[Any]) -> None:
        self.calls += [("unassign", part.partition, 0) for part in parts]

    def consume(self, most: int, timeout: float) -> list[Any]:
        assert timeout == 0
        taken, self.queue = self.queue[:most], self.queue[most:]
        return taken

    def get_watermark_offsets(self, part: Any, timeout: float) -> tuple[int, int]:
        return 17, 99


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> Fetch:
    monkeypatch.setattr(fetch_module, "RdConsumer", FakeConsumer)
    return Fetch({"bootstrap.servers": "k"}, "beacons")


def _consumer(fetch: Fetch) -> FakeConsumer:
    return fetch._consumer  # type: ignore[no-any-return]


def _message(partition: int, offset: int, code: int | None = None) -> Any:
    return SimpleNamespace(
        error=lambda: None if code is None else KafkaError(code),
        partition=lambda: partition,
        offset=lambda: offset,
        value=lambda: b"%d" % offset,
    )


def test_nothing_is_asked_for_while_nothing_is_open(fetch: Fetch) -> None:
    _consumer(fetch).queue = [_message(0, 1)]
    assert fetch.take() == {}


def test_records_come_by_partition_in_order(fetch: Fetch) -> None:
    fetch.start(0, 5)
    fetch.start(3, 0)
    _consumer(fetch).queue = [_message(0, 5), _message(3, 0), _message(0, 6)]
    taken = fetch.take()
    assert {number: (records.offset, records.items) for number, records in taken.items()} == {
        0: (6, [(5, b"5"), (6, b"6")]),
        3: (0, [(0, b"0")]),
    }


def test_a_partition_started_again_is_read_from_there_only(fetch: Fetch) -> None:
    fetch.start(0, 5)
    fetch.start(0, 2)
    fetch.stop(0)
    fetch.stop(0)
    assert _consumer(fetch).calls == [("assign", 0, 5), ("unassign", 0, 0), ("assign", 0, 2), ("unassign", 0, 0)]


def test_what_an_earlier_start_brought_is_known_by_its_request(fetch: Fetch) -> None:
    fetch.start(0, 5)
    _consumer(fetch).queue = [_message(0, 5)]
    early = fetch.take()[0]
    fetch.start(0, 5)
    _consumer(fetch).queue = [_message(0, 5)]
    late = fetch.take()[0]
    assert (early.since, late.since) == (5, 5)
    assert (early.request == fetch.request(0), late.request == fetch.request(0)) == (False, True)
    fetch.stop(0)
    fetch.start(1, 0)
    assert late.request == fetch.request(0)


def test_an_offset_that_the_log_has_no_more_is_told_and_others_are_noted(fetch: Fetch) -> None:
    fetch.start(0, 5)
    _consumer(fetch).queue = [
        _message(0, -1, KafkaError._AUTO_OFFSET_RESET),
        _message(0, -1, KafkaError._TRANSPORT),
        _message(0, -1, KafkaError._TRANSPORT),
    ]
    assert fetch.take() == {}
    assert (fetch.out_of_range, fetch.faults) == ({0}, {"_AUTO_OFFSET_RESET": 1, "_TRANSPORT": 2})
    assert fetch.low(0) == 17


def test_nothing_is_committed_and_no_offset_is_guessed(fetch: Fetch) -> None:
    settings = _consumer(fetch).settings
    assert (settings["enable.auto.commit"], settings["auto.offset.reset"]) == (False, "error")


@pytest.mark.parametrize(("acked", "committed"), [([], None), ([4], 5), ([4, 9, 6], 10)])
def test_an_acknowledged_event_stands_for_every_record_before_it(acked: list[int], committed: int | None) -> None:
    tp = TP("beacons", 0)
    consumer = SimpleNamespace(_acked={tp: acked}, _acked_index={tp: set(acked)})
    assert Consumer._new_offset(consumer, tp) == committed  # type: ignore[arg-type]
    assert (consumer._acked[tp], consumer._acked_index[tp]) == ([], set())


async def test_what_faust_has_read_or_committed_before_never_keeps_records_from_coming_again() -> None:
    """Faust passes over events below what it has read: a partition opened again would miss records, in silence."""
    app = faust.App("never-started", broker="kafka://127.0.0.1:1", web_enabled=False)
    fetch = SimpleNamespace(take=dict)
    app.transport = Transport([*app.conf.broker_consumer], app, fetch)  # type: ignore[arg-type]
    given: list[int] = []

    async def take(message: Any) -> None:
        given.append(message.offset)
        if len(given) == 3:
            fetching._stopped.set()

    consumer = app.transport.create_consumer(take, on_partitions_revoked=take, on_partitions_assigned=take)
    tp = TP("beacons", 0)
    came = iter([[700, 1200, 756]])

    async def getmany(timeout: float) -> Any:  # noqa: ASYNC109
        for offset in next(came):
            yield tp, SimpleNamespace(offset=offset, topic="beacons", key=None, value=None)

    fetching = SimpleNamespace(_stopped=asyncio.Event())
    consumer.getmany = getmany
    consumer._read_offset.update({tp: 1000})
    await consumer._drain_messages(fetching)
    assert given == [700, 1200, 756]
