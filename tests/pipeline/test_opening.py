"""Opening a partition: whatever a changelog's end looks like, counting goes on to the same table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.batch import Batch, is_position_key
from pipeline.opening import Refused, open_partition
from tests.pipeline.life import RULES, TOPIC_ID, Life, Sent, living, records, truth
from tests.pipeline.lines import NOON
from tests.pipeline.state_topics import TOPICS, MemoryChangelog, Record

# Two sessions over three entries, each beacon twice, so that rows, marks and duplicates lie in every checkpoint.
LOG = [
    [
        Sent(
            session=f"s{n % 2}",
            index=n // 2 % 6,
            entry=f"e{n % 3}",
            at=NOON + n % 4 * 5,
            kind=(3, 99)[n % 2],
            buffer_ms=250,
        )
    ]
    for n in range(24)
]
TRUTH = truth(LOG)


def _torn(life: Life, keep: Callable[[list[Record]], list[Record]]) -> None:
    """Write a checkpoint of which Kafka keeps only a part; its owner dies."""
    life.kafka.torn = keep
    life.checkpoint()


def test_an_empty_line_opens_before_its_first_beacon() -> None:
    with living(LOG) as life:
        assert (life.partition.position, life.partition.is_dirty) == (-1, False)


def test_a_line_opens_behind_its_last_checkpoint_with_its_rows_and_marks() -> None:
    with living(LOG) as life:
        life.take(10)
        life.checkpoint()
        for wiped in (False, True):
            life.crash(wiped)
            assert life.partition.position == 9
            assert life.stored_table() == truth(LOG[:10])
        assert life.finish() == TRUTH


def test_a_store_that_was_closed_in_order_replays_nothing() -> None:
    with living(LOG) as life:
        life.take(10)
        life.checkpoint()
        life.close()
        life.kafka.logs = {topic: [] for topic in life.kafka.logs}
        assert life.partition.position == 9
        assert life.stored_table() == truth(LOG[:10])


def test_an_owner_that_was_overtaken_writes_nothing() -> None:
    with living(LOG) as life:
        life.take(10)
        batch, places = life.partition.prepare(TOPIC_ID, life.now_s)
        MemoryChangelog(life.kafka).fence()
        assert life.write(batch, places) is None
        assert life.table() == {}
        assert life.finish() == TRUTH


@given(data=st.data())
@example(data=None)
def test_a_torn_checkpoint_heals_row_by_row(data: Any) -> None:
    """Any part of a checkpoint's records may be missing, and some may be there twice."""
    with living(LOG) as life:
        life.take(9)
        life.checkpoint()
        life.take(7)

        def keep(batch: list[Record]) -> list[Record]:
            if data is None:
                return []
            return list(data.draw(st.lists(st.sampled_from(batch), max_size=2 * len(batch)), label="kept"))

        _torn(life, keep)
        if data is not None and data.draw(st.booleans(), label="wiped"):
            life.crash(wiped=True)
        assert life.finish() == TRUTH
        ledger = life.kafka.position().ledger
        assert (ledger["beacons"], ledger["unique"] + ledger["duplicates"]) == (24, 24)


@given(data=st.data())
def test_a_checkpoint_in_order_but_for_some_records_heals(data: Any) -> None:
    with living(LOG) as life:
        for _ in range(data.draw(st.integers(1, 3), label="torn in a row")):
            life.take(data.draw(st.integers(1, 8), label="records"))

            def keep(batch: list[Record]) -> list[Record]:
                lost = data.draw(st.sets(st.integers(0, len(batch) - 1), max_size=3), label="lost")
                topic = data.draw(st.sampled_from(["", TOPICS.seen, TOPICS.windows]), label="lost as a whole")
                return [record for number, record in enumerate(batch) if number not in lost and record[0] != topic]

            _torn(life, keep)
            if data.draw(st.booleans(), label="crash while healing"):
                life.take(1)
                life.crash()
        assert life.finish() == TRUTH


@given(data=st.data())
def test_records_of_a_past_checkpoint_that_come_late_change_nothing(data: Any) -> None:
    with living(LOG) as life:
        kept: list[list[Record]] = []
        for most in (5, 5, 5):
            life.take(most)
            life.checkpoint()
            kept.append([record for log in _logs(life) for record in log])
        late = data.draw(st.lists(st.sampled_from(kept[0] + kept[1]), min_size=1, max_size=6), label="late")
        how = data.draw(st.sampled_from(["closed", "crashed", "wiped"]), label="how")
        life.close() if how == "closed" else life.crash(wiped=how == "wiped")
        life.kafka.append(late)
        life.take(14 - life.partition.position)
        life.checkpoint()
        assert life.table() == truth(LOG[:15])
        assert life.kafka.position().offset == 14
        assert life.finish() == TRUTH


def _logs(life: Life) -> list[list[Record]]:
    return [
        [(topic, key, value) for _, key, value in life.kafka.logs[topic]] for topic in (TOPICS.windows, TOPICS.seen)
    ]


def test_rows_that_came_late_are_written_again_even_if_the_first_owner_to_see_them_dies() -> None:
    with living(LOG) as life:
        life.take(5)
        life.checkpoint()
        stale = [record for record in _logs(life)[0] if not is_position_key(record[1])]
        life.take(5)
        life.checkpoint()
        life.close()
        life.kafka.append(stale)
        life.open()
        life.close()
        life.open()
        assert life.partition.is_dirty
        life.checkpoint()
        assert life.table() == truth(LOG[:10])
        assert not life.partition.is_dirty


def test_a_late_row_of_a_window_past_its_retention_stays_away() -> None:
    end = NOON + 6 * 3600
    log = [[Sent(index=1)], [Sent(index=2, at=end + 20)], [Sent(index=3, at=end + 21)], [Sent(index=4, at=end + 22)]]
    with living(log, now_s=end + 22) as life:
        life.take(1)
        life.checkpoint()
        stale = [record for record in _logs(life)[0] if not is_position_key(record[1])]
        for _ in range(2):
            life.take(1)
            life.checkpoint()
        assert all(start > NOON for name, start, _, _ in life.table() if name == "10s")
        life.crash(wiped=True)
        life.kafka.append(stale)
        life.finish()
        life.log += records([[Sent(index=5, at=end + 23)]])
        life.finish()
        assert all(start > NOON for name, start, _, _ in life.table() if name == "10s")
        assert {start: c["plays"] for (n, start, _, e), c in life.table().items() if n == "1h" and e is None} == {
            NOON - 420: 1,
            end - 420: 4,
        }


@pytest.mark.parametrize("seen_first", [True, False])
def test_the_order_in_which_a_replay_reads_the_two_topics_does_not_matter(seen_first: bool) -> None:
    with living(LOG) as life:
        life.kafka.seen_first = seen_first
        life.take(9)
        life.checkpoint()
        life.take(7)
        _torn(life, lambda batch: batch[:-2])
        assert life.finish() == TRUTH


def test_nothing_is_written_while_healing() -> None:
    with living(LOG) as life:
        life.take(9)
        life.checkpoint()
        life.take(7)
        _torn(life, lambda batch: batch[1:])
        assert life.partition.position == 8
        life.take(3)
        assert life.partition.is_healing
        assert life.checkpoint() is None
        life.take(4)
        assert not life.partition.is_healing
        life.checkpoint()
        assert life.table() == truth(LOG[:16])
        assert life.kafka.position().previous == 8


def test_a_changelog_that_was_deleted_leaves_nothing_of_the_store() -> None:
    with living(LOG) as life:
        life.take(20)
        life.checkpoint()
        life.close()
        life.kafka.delete()
        assert (life.partition.position, life.stored_table()) == (-1, {})
        assert life.finish() == TRUTH


def test_a_changelog_that_was_deleted_and_is_shorter_now_leaves_nothing_of_the_store() -> None:
    with living(LOG) as life:
        life.take(20)
        life.checkpoint()
        life.close()
        with living(LOG) as other:
            other.take(3)
            other.checkpoint()
            life.kafka.logs, life.kafka.ends = other.kafka.logs, other.kafka.ends
        assert life.partition.position == 2
        assert life.stored_table() == truth(LOG[:3])
        assert life.finish() == TRUTH


def test_marks_that_retention_took_are_no_reason_to_forget_rows() -> None:
    with living(LOG) as life:
        for _ in range(2):
            life.take(6)
            life.checkpoint()
        life.crash(wiped=False)
        del life.kafka.logs[TOPICS.seen][:1]
        assert life.partition.position == 11
        assert life.finish()


def test_a_topic_that_was_created_again_is_refused_and_its_state_kept() -> None:
    with living(LOG) as life:
        life.take(5)
        life.checkpoint()
        life.close()
        with pytest.raises(Refused, match="python -m pipeline rebuild"):
            open_partition(0, life.path / "0", MemoryChangelog(life.kafka), TOPICS, RULES, "another-topic")  # type: ignore[arg-type]
        assert life.finish() == TRUTH


def test_a_prepared_checkpoint_is_what_the_changelog_writes() -> None:
    with living(LOG) as life:
        life.take(10)
        batch, _ = life.partition.prepare(TOPIC_ID, life.now_s)
        assert isinstance(batch, Batch)
        assert batch.position.rows == len(batch.rows) > 0
        assert batch.position.marks == len(batch.marks) > 0
