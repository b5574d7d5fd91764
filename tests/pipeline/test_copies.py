"""A copy of a partition: whole checkpoints only, whatever is written meanwhile; whoever opens it goes on exactly."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import is_position_key
from tests.pipeline.followed import Follower, followed
from tests.pipeline.life import Life, Sent, table_of, truth
from tests.pipeline.lines import NOON
from tests.pipeline.state_topics import TOPICS, Fault, Record

# Each event comes twice, the second time long after the first: a mark that is lost shows.
EVENTS = [Sent(f"s{n % 4}", n // 4, f"e{n % 3}", "4242", (3, 99)[n % 2], NOON + n // 4 * 7, 125) for n in range(16)]
LOG = [[sent] for sent in (*EVENTS, *EVENTS)]
TRUTH = truth(LOG)


def _count(life: Life, most: int) -> None:
    life.take(most)
    life.checkpoint()


def test_a_copy_is_opened_without_reading_anything_again() -> None:
    with followed(LOG) as (life, follower):
        _count(life, 10)
        assert follower.follow()
        _count(life, 4)
        assert follower.follow()
        assert follower.copy.position == 13
        logs, life.kafka.logs = life.kafka.logs, {topic: [] for topic in life.kafka.logs}
        follower.take_over()
        assert (life.partition.position, life.stored_table()) == (13, truth(LOG[:14]))
        life.kafka.logs = logs
        assert life.finish() == TRUTH


def test_what_is_written_between_rows_and_marks_is_left_for_the_next_round() -> None:
    with followed(LOG) as (life, follower):
        _count(life, 5)
        assert follower.follow(meanwhile=lambda: (_count(life, 5), _count(life, 5)))
        assert follower.copy.position == 4
        assert follower.follow()
        assert follower.copy.position == 14
        follower.take_over()
        assert life.finish() == TRUTH
        assert life.kafka.position().ledger["duplicates"] == len(EVENTS)


def test_a_torn_checkpoint_is_not_taken_and_a_mended_one_is() -> None:
    with followed(LOG) as (life, follower):
        _count(life, 5)
        assert follower.follow()
        life.kafka.torn = lambda batch: batch[1:]
        _count(life, 5)
        assert not follower.follow()
        assert follower.copy.position == 4
        life.take()
        life.checkpoint()
        assert follower.follow()
        assert follower.copy.position == 31
        follower.take_over()
        assert (life.stored_table(), life.finish()) == (TRUTH, TRUTH)


def test_a_row_that_comes_late_is_left_to_the_next_owner_until_a_newer_one_mends_it() -> None:
    with followed([[EVENTS[0]], [EVENTS[0]], *([Sent(index=50 + n, entry="e0")] for n in range(3))]) as (
        life,
        follower,
    ):
        _count(life, 2)
        rows = [record for record in life.kafka.logs[TOPICS.windows] if not is_position_key(record[1])]
        _count(life, 1)
        assert follower.follow()
        life.kafka.append([(TOPICS.windows, key, value) for _, key, value in rows])
        assert not follower.follow()
        follower.take_over()
        assert life.partition.is_dirty
        life.checkpoint()
        assert life.table() == truth([[EVENTS[0]], [Sent(index=50, entry="e0")]])
        assert follower.follow()
        assert life.finish() == life.stored_table()


def test_a_row_that_was_written_again_leaves_a_copy_whole_after_kafka_has_compacted() -> None:
    with followed(LOG[:8]) as (life, follower):
        _count(life, 6)
        late = [(TOPICS.windows, key, value) for _, key, value in life.kafka.logs[TOPICS.windows]][:1]
        _count(life, 2)
        life.crash()
        life.kafka.append(late)
        _count(life, 0)
        assert (life.kafka.position().previous, life.kafka.position().offset) == (7, 7)
        # Of the two checkpoints that end there only the position row of the later one is left.
        life.kafka.compact()
        assert follower.follow()
        assert follower.copy.position == 7
        follower.take_over()
        assert life.finish() == life.stored_table() == truth(LOG[:8])


def test_a_torn_checkpoint_that_was_healed_to_its_own_end_leaves_a_copy_whole() -> None:
    with followed(LOG[:8]) as (life, follower):
        _count(life, 6)
        life.kafka.torn = lambda batch: batch[:2]
        _count(life, 2)
        assert not follower.follow()
        assert life.finish() == truth(LOG[:8])
        assert follower.follow()
        assert follower.copy.position == 7
        follower.take_over()
        assert life.stored_table() == truth(LOG[:8])


def test_a_copy_of_topics_that_were_deleted_begins_anew() -> None:
    with followed(LOG) as (life, follower):
        _count(life, 20)
        assert follower.follow()
        life.kafka.delete()
        life.crash(wiped=True)
        _count(life, 2)
        assert follower.follow()
        assert follower.copy.position == 1
        follower.take_over()
        assert life.finish() == TRUTH


def test_old_marks_leave_a_copy_as_they_leave_the_owners_store() -> None:
    day = 86_400
    days = [[Sent(index=n, at=NOON - (9 - n) * day)] for n in range(6)]
    with followed(days) as (life, follower):
        life.now_s = NOON
        for _ in days:
            _count(life, 1)
            assert follower.follow()
        assert follower.copy._store is not None
        assert follower.copy._store._marks.epochs == life.store._marks.epochs
        assert len(life.store._marks.epochs) < len(days)


class Steps:
    """What may happen to a partition and its copy, by name."""

    def __init__(self, life: Life, follower: Follower, data: Any) -> None:
        self.life, self.follower, self.data = life, follower, data
        self.past: list[Record] = []

    def count(self) -> None:
        _count(self.life, self.data.draw(st.integers(1, 6), label="records"))

    def fold(self) -> None:
        self.life.take(3)

    def follow(self) -> None:
        self.follower.follow()

    def follow_meanwhile(self) -> None:
        times = self.data.draw(st.integers(1, 3), label="checkpoints meanwhile")
        self.follower.follow(lambda: [self.count() for _ in range(times)])

    def crash(self) -> None:
        self.life.crash(wiped=self.data.draw(st.booleans(), label="wiped"))

    def take_over(self) -> None:
        self.follower.take_over()

    def tear(self) -> None:
        def keep(batch: list[Record]) -> list[Record]:
            lost = self.data.draw(st.sets(st.integers(0, len(batch) - 1), max_size=3), label="lost")
            return [record for number, record in enumerate(batch) if number not in lost]

        self.life.kafka.torn = keep

    def unknown(self) -> None:
        self.life.kafka.fault = Fault.UNKNOWN

    def late(self) -> None:
        """Let records of the past come again, while nobody owns the partition: an owner's fence ends what is open."""
        self.life.crash()
        logs = self.life.kafka.logs
        past = [(topic, key, value) for topic in (TOPICS.windows, TOPICS.seen) for _, key, value in logs[topic]]
        if past:
            self.life.kafka.append(self.data.draw(st.lists(st.sampled_from(past), max_size=4), label="late"))

    def compact(self) -> None:
        """Let Kafka forget older versions of rows, after an owner has mended what came late: seconds, not hours."""
        self.life.take(6)
        self.life.checkpoint()
        held = self.life._held
        if held is not None and not held[0].is_dirty and not held[0].is_healing:
            self.life.kafka.compact()


STEPS = sorted(name for name in vars(Steps) if not name.startswith("_"))


@given(steps=st.lists(st.sampled_from(STEPS), max_size=25), data=st.data())
def test_whatever_happens_the_copy_goes_on_to_the_truth(steps: list[str], data: Any) -> None:
    with followed(LOG) as (life, follower):
        happens = Steps(life, follower, data)
        for step in steps:
            getattr(happens, step)()
        life.kafka.torn, life.kafka.fault = None, Fault.NONE
        follower.take_over()
        assert life.finish() == TRUTH
        ledger = life.kafka.position().ledger
        assert ledger["beacons"] == len(LOG) == ledger["unique"] + ledger["duplicates"]
        assert follower.follow()
        rows = life.kafka.rows()
        follower.take_over()
        assert life.stored_table() == table_of(rows) == TRUTH
