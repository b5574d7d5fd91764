"""The changelog's writing side against a producer that does what the test says, and where a replay begins."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException

from pipeline import changelog as changelog_module
from pipeline.batch import MARKS_PER_RECORD, Batch, Position
from pipeline.changelog import Changelog, Lost
from pipeline.replay import places_to_read
from tests.pipeline.state_topics import TOPICS, Record, records_of

BATCH = Batch(
    rows=[(b"row-1", b"{}"), (b"row-2", b"{}")],
    expired=[b"old"],
    marks=[(b"m" * 16, 1, 2)] * (MARKS_PER_RECORD + 1),
    sessions=[],
    dead=[(b"fault", b"letter")],
    position=Position(previous=3, offset=9, rows=2, marks=MARKS_PER_RECORD + 1),
)


class FakeProducer:
    """Takes the calls of a transactional producer and notes them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.calls: list[str] = []
        self.sent: list[tuple[Record, int]] = []
        self.fails: dict[str, BaseException] = {}
        self.undelivered: KafkaError | None = None
        self.left = 0
        self.refused = 0
        self._due: list[Callable[[], None]] = []

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    def init_transactions(self, timeout_s: float) -> None:
        self._note("init")

    def begin_transaction(self) -> None:
        self._note("begin")

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], partition: int) -> int:
        self.sent += [((topic, message["key"], message["value"]), partition) for message in messages]
        return len(messages) - self.refused

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, on_delivery: Any) -> None:
        self._note("produce")
        self.sent.append(((topic, key, value), partition))
        offset = 100 + len(self.sent)
        message = SimpleNamespace(topic=lambda: topic, offset=lambda: offset)
        self._due.append(lambda: on_delivery(self.undelivered, message))

    def flush(self, timeout_s: float) -> int:
        self._note("flush")
        while self._due:
            self._due.pop(0)()
        return self.left

    def commit_transaction(self, timeout_s: float) -> None:
        self._note("commit")

    def purge(self) -> None:
        self._note("purge")

    def close(self) -> None:
        self._note("close")


@pytest.fixture
def changelog(monkeypatch: pytest.MonkeyPatch) -> Changelog:
    monkeypatch.setattr(changelog_module, "Producer", FakeProducer)
    return Changelog({"bootstrap.servers": "k"}, TOPICS, "g-5", 5)


def _producer(changelog: Changelog) -> FakeProducer:
    return changelog._producer  # type: ignore[no-any-return]


def _error(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def test_a_checkpoint_is_one_transaction_its_position_row_last(changelog: Changelog) -> None:
    changelog.commit(BATCH)
    assert [record for record, _ in _producer(changelog).sent] == records_of(BATCH, 5)
    assert {partition for _, partition in _producer(changelog).sent} == {5}
    assert [call for call in _producer(changelog).calls if call != "produce"] == ["begin", "flush", "commit"]


def test_a_commit_says_where_the_changelog_goes_on(changelog: Changelog) -> None:
    changelog.go_on_from({TOPICS.windows: 4, TOPICS.seen: 2})
    after = changelog.commit(BATCH)
    assert set(after) == {TOPICS.windows, TOPICS.seen}
    assert after[TOPICS.windows] > 100 < after[TOPICS.seen]
    quiet = Batch([], [], [], [], [], Position(previous=9, offset=10))
    assert changelog.commit(quiet)[TOPICS.seen] == after[TOPICS.seen]


def test_one_partition_has_one_writer_by_its_transactional_id(changelog: Changelog) -> None:
    assert _producer(changelog).settings["transactional.id"] == "g-5"


@pytest.mark.parametrize("call", ["begin", "produce", "commit"])
@pytest.mark.parametrize(
    ("code", "fenced"),
    [
        (KafkaError._FENCED, True),
        (KafkaError.PRODUCER_FENCED, True),
        (KafkaError.INVALID_PRODUCER_EPOCH, True),
        (KafkaError._TIMED_OUT, False),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, False),
    ],
)
def test_an_error_anywhere_in_a_transaction_is_a_loss(changelog: Changelog, call: str, code: int, fenced: bool) -> None:
    _producer(changelog).fails[call] = _error(code)
    with pytest.raises(Lost) as lost:
        changelog.commit(BATCH)
    assert lost.value.fenced is fenced


def test_a_fatal_error_amid_deliveries_is_a_loss_and_another_complaint_is_a_fault(changelog: Changelog) -> None:
    complaint = SystemError("returned a result with an exception set")
    complaint.__cause__ = _error(KafkaError._FENCED)
    _producer(changelog).fails["flush"] = complaint
    with pytest.raises(Lost) as lost:
        changelog.commit(BATCH)
    assert lost.value.fenced
    _producer(changelog).fails["flush"] = SystemError("another")
    with pytest.raises(SystemError):
        changelog.commit(BATCH)


def test_a_full_queue_is_a_loss(changelog: Changelog) -> None:
    _producer(changelog).fails["produce"] = BufferError()
    with pytest.raises(Lost, match="queue full"):
        changelog.commit(BATCH)


def test_a_record_that_was_not_taken_is_a_loss(changelog: Changelog) -> None:
    _producer(changelog).refused = 1
    with pytest.raises(Lost, match="only 1 of 2"):
        changelog.commit(BATCH)


def test_what_is_not_delivered_in_time_is_never_committed(changelog: Changelog) -> None:
    _producer(changelog).left = 1
    with pytest.raises(Lost, match="in time"):
        changelog.commit(BATCH)
    assert "commit" not in _producer(changelog).calls


def test_what_could_not_be_delivered_is_never_committed(changelog: Changelog) -> None:
    _producer(changelog).undelivered = KafkaError(KafkaError._MSG_TIMED_OUT)
    with pytest.raises(Lost, match="not delivered"):
        changelog.commit(BATCH)
    assert "commit" not in _producer(changelog).calls


def test_a_fence_that_fails_is_a_loss(changelog: Changelog) -> None:
    _producer(changelog).fails["init"] = _error(KafkaError._TIMED_OUT)
    with pytest.raises(Lost, match="init_transactions"):
        changelog.fence()


def test_a_producer_that_ends_with_an_error_is_let_go_all_the_same(changelog: Changelog) -> None:
    _producer(changelog).fails["close"] = _error(KafkaError._FENCED)
    changelog.close()
    assert _producer(changelog).calls == ["purge", "close"]


# -- where a replay begins

W, S = TOPICS.windows, TOPICS.seen
BOUNDS = {S: (10, 50), W: (0, 90)}


@pytest.mark.parametrize(
    ("offsets", "places", "outside"),
    [
        ({}, {S: OFFSET_BEGINNING, W: OFFSET_BEGINNING}, []),
        ({S: 20, W: 80}, {S: 20, W: 80}, []),
        ({S: 50, W: 90}, {S: 50, W: 90}, []),
        ({S: 10, W: 0}, {S: 10, W: 0}, []),
        # Retention has taken marks meanwhile: those that are left are read, rows go on.
        ({S: 9, W: 80}, {S: OFFSET_BEGINNING, W: 80}, [S]),
        # One topic was made again: the store is of no use, so the other one is read from its beginning too.
        ({S: 51, W: 80}, {S: OFFSET_BEGINNING, W: OFFSET_BEGINNING}, [S]),
        ({S: 20, W: 91}, {S: OFFSET_BEGINNING, W: OFFSET_BEGINNING}, [W]),
    ],
)
def test_a_replay_begins_where_the_store_is_or_at_the_beginning(
    offsets: dict[str, int], places: dict[str, int], outside: list[str]
) -> None:
    heard: list[str] = []
    found = places_to_read(offsets, BOUNDS, lambda topic, wanted, low, high: heard.append(topic))
    assert (found, heard) == (places, outside)
