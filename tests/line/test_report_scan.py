"""A scan of topic `beacons` against a client that plays Kafka: bounds, cuts, and a broker that is silent or gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from pipeline.report import scan
from pipeline.report.problem import Refused
from pipeline.report.scan import KAFKA_AWAY, KAFKA_SLOW, KafkaBeacons, Looked, Stretch

EVERYTHING = {0: 10**6, 1: 10**6}


class FakeMessage:
    def __init__(self, part: int, offset: int, stored: int, code: int | None = None) -> None:
        self._said = (part, offset, stored)
        self._error = None if code is None else KafkaError(code)

    def error(self) -> KafkaError | None:
        return self._error

    def partition(self) -> int:
        return self._said[0]

    def offset(self) -> int:
        return self._said[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, self._said[2]

    def value(self) -> bytes:
        return b"one\ntwo"


class FakeConsumer:
    """Two partitions, whose record at offset n came at n * 1000 ms."""

    first = 0
    last = 20
    broken: KafkaException | None = None
    silent = False
    code: int | None = None
    closed = 0

    def __init__(self, options: dict[str, Any]) -> None:
        assert options["enable.auto.commit"] is False
        self.places: dict[int, int] = {}

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.broken:
            raise self.broken
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None, 1: None})})

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        known = {OFFSET_BEGINNING: self.first, OFFSET_END: self.last}
        found = []
        for one in asked:
            at = known.get(one.offset, max(self.first, -(-one.offset // 1000)))
            found.append(TopicPartition(one.topic, one.partition, at if at <= self.last else -1))
        return found

    def assign(self, places: list[TopicPartition]) -> None:
        self.places = {one.partition: one.offset for one in places}

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        for one in places:
            del self.places[one.partition]

    def consume(self, most: int, timeout: float) -> list[FakeMessage]:
        if self.code is not None:
            return [FakeMessage(0, 0, 0, self.code)]
        found = []
        for part, at in [] if self.silent else self.places.items():
            if at < self.last:
                found.append(FakeMessage(part, at, at * 1000))
                self.places[part] = at + 1
            else:
                found.append(FakeMessage(part, at, 0, KafkaError._PARTITION_EOF))
        return found

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> type[FakeConsumer]:
    class Own(FakeConsumer):
        pass

    monkeypatch.setattr(scan, "Consumer", Own)
    return Own


def look(
    stretch: Stretch,
    seconds: float = 30,
    stop: threading.Event | None = None,
    on_record: Callable[[], object] = lambda: None,
) -> tuple[Looked, list[tuple[int, int]]]:
    taken: list[tuple[int, int]] = []

    def take(part: int, offset: int, stored: int, value: bytes) -> int:
        assert stored == offset * 1000
        taken.append((part, offset))
        on_record()
        return len(value.split(b"\n"))

    looked = KafkaBeacons({}, "beacons", seconds).look(stretch, take, stop or threading.Event())
    return looked, sorted(taken)


def both(begin: int, end: int) -> list[tuple[int, int]]:
    return [(part, offset) for part in (0, 1) for offset in range(begin, end)]


def test_records_of_the_stretch_are_read_each_once_and_the_client_is_closed(kafka: type[FakeConsumer]) -> None:
    looked, taken = look(Stretch(3000, 7000, EVERYTHING, 1000))
    assert taken == both(3, 7)
    assert (looked.from_ms, looked.through_ms, looked.records, looked.cut) == (3000, 7000, 8, [])
    assert kafka.closed == 1


def test_the_end_of_the_topic_ends_a_stretch_that_goes_on(kafka: type[FakeConsumer]) -> None:
    looked, taken = look(Stretch(18_000, 99_000, EVERYTHING, 1000))
    assert (taken, looked.cut) == (both(18, 20), [])


def test_what_is_not_counted_yet_is_not_read(kafka: type[FakeConsumer]) -> None:
    _, taken = look(Stretch(3000, 9000, {0: 4}, 1000))
    assert taken == [(0, 3), (0, 4)]


def test_nothing_counted_is_nothing_read(kafka: type[FakeConsumer]) -> None:
    looked, taken = look(Stretch(3000, 9000, {}, 1000))
    assert (taken, looked.cut, looked.records) == ([], [], 0)


def test_each_partition_has_its_share_of_the_bound(kafka: type[FakeConsumer]) -> None:
    looked, taken = look(Stretch(0, 20_000, EVERYTHING, 12))
    assert taken == both(0, 3)
    assert (looked.cut, looked.through_ms) == (["beacons"], 2000)


def test_what_kafka_has_deleted_is_said(kafka: type[FakeConsumer]) -> None:
    kafka.first = 5
    looked, taken = look(Stretch(3000, 7000, EVERYTHING, 1000))
    assert (taken, looked.cut, looked.from_ms) == (both(5, 7), ["retention"], 5000)
    kafka.first = kafka.last = 30
    looked, taken = look(Stretch(3000, 7000, EVERYTHING, 1000))
    assert (taken, looked.cut, looked.from_ms) == ([], ["retention"], 7000)


def test_a_partition_that_was_silent_all_along_has_lost_nothing(kafka: type[FakeConsumer]) -> None:
    #   all that it had is deleted: beacons up to 2999 or up to 3000, asked from 3000 on
    kafka.first = kafka.last = 30
    looked, _ = look(Stretch(3000, 7000, EVERYTHING, 1000, {0: 2999, 1: 2999}))
    assert (looked.cut, looked.from_ms) == ([], 3000)
    looked, _ = look(Stretch(3000, 7000, EVERYTHING, 1000, {0: 2999, 1: 3000}))
    assert (looked.cut, looked.from_ms) == (["retention"], 7000)


def test_no_more_time_cuts_where_it_is(kafka: type[FakeConsumer], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(scan.time, "monotonic", lambda: clock.now)

    def tick() -> None:
        clock.now += 1

    looked, taken = look(Stretch(0, 20_000, EVERYTHING, 1000), seconds=6.5, on_record=tick)
    assert len(taken) == 7
    assert looked.cut == ["deadline"]
    assert looked.through_ms == 2000


@pytest.mark.parametrize("broken", [KafkaError._TRANSPORT, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_kafka_that_cannot_be_asked_is_said_to_be_away(kafka: type[FakeConsumer], broken: int) -> None:
    kafka.broken = KafkaException(KafkaError(broken))
    with pytest.raises(Refused) as refused:
        look(Stretch(0, 20_000, EVERYTHING, 1000))
    assert refused.value.problem is KAFKA_AWAY
    assert kafka.closed == 1


def test_a_kafka_that_gives_nothing_is_said_to_be_slow(kafka: type[FakeConsumer]) -> None:
    kafka.silent = True
    with pytest.raises(Refused) as refused:
        look(Stretch(0, 20_000, EVERYTHING, 1000), seconds=0.05)
    assert refused.value.problem is KAFKA_SLOW


def test_an_error_that_does_not_pass_ends_a_scan(kafka: type[FakeConsumer]) -> None:
    kafka.code = KafkaError.OFFSET_OUT_OF_RANGE
    with pytest.raises(Refused):
        look(Stretch(0, 20_000, EVERYTHING, 1000))


def test_nobody_waits_any_more(kafka: type[FakeConsumer]) -> None:
    stop = threading.Event()
    stop.set()
    _, taken = look(Stretch(0, 20_000, EVERYTHING, 1000), stop=stop)
    assert taken == []
