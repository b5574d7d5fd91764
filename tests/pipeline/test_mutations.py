"""The tests are tested: each guard of the core, taken away, turns the checker red that is there for it (I25)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pipeline import partition as partition_module
from pipeline import rows as rows_module
from pipeline import standby as standby_module
from pipeline.batch import Batch, Position
from pipeline.changelog import Topics
from pipeline.event import Event, EventReader
from pipeline.fetch import Records
from pipeline.opening import End, Source, _Replay, bring_to_end
from pipeline.partition import Partition
from pipeline.rows import Rows
from pipeline.store import Store
from pipeline.tail import Tail, Verdict
from pipeline.windows import Cells, Counts, RowId, Shape, fold, roll_up
from tests.pipeline.checkers import (
    CHECKERS,
    Red,
    life_of_a_copy,
    life_of_a_copy_of_a_torn_checkpoint,
    life_of_a_worker_that_opens_again,
    life_of_two_owners,
    life_while_a_checkpoint_is_on_its_way,
    life_with_a_lost_position_row,
    life_with_a_torn_checkpoint,
    life_with_crashes,
    life_with_late_rows,
    life_with_repeated_deliveries,
    plain_life,
)
from tests.pipeline.state_topics import TOPICS, Fault, MemoryChangelog
from tests.pipeline.worker_in_memory import MemoryFetch


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_with_every_guard_in_place_each_checker_is_green(checker: Callable[[], None]) -> None:
    checker()


# -- the mutations: each takes one guard away


@dataclass(frozen=True, slots=True)
class Mutation:
    """One guard taken away, and the checker that must see it."""

    name: str
    checker: Callable[[], None]
    apply: Callable[[pytest.MonkeyPatch], None]


def _drop_a_mark(patch: pytest.MonkeyPatch) -> None:
    prepare = Partition.prepare

    def without_one(self: Partition, topic: str, now_s: float) -> tuple[Batch, list[bytes]]:
        batch, places = prepare(self, topic, now_s)
        return replace(
            batch, marks=batch.marks[:-1], position=replace(batch.position, marks=batch.position.marks - 1)
        ), places

    patch.setattr(Partition, "prepare", without_one)


def _double_a_delta(patch: pytest.MonkeyPatch) -> None:
    def twice(cells: Cells, event: Event, finest_s: int) -> None:
        fold(cells, event, finest_s)
        if event.entry == '"e2"':
            fold(cells, event, finest_s)

    patch.setattr(partition_module, "fold", twice)


def _swap_two_partners(patch: pytest.MonkeyPatch) -> None:
    swapped = {"1": "2", "2": "1"}

    read = EventReader.read

    def swap(self: EventReader, raw: bytes) -> Event:
        event = read(self, raw)
        event.values = (f'"{swapped[event.partner]}"', *event.values[1:])
        return event

    patch.setattr(EventReader, "read", swap)


def _swap_two_entries_of_one_row(patch: pytest.MonkeyPatch) -> None:
    def swap(cells: Cells, shape: Shape) -> dict[RowId, Counts]:
        added = roll_up(cells, shape)
        entries = [row_id for row_id in added if row_id[1] == 1]
        added[entries[0]], added[entries[-1]] = added[entries[-1]], added[entries[0]]
        return added

    patch.setattr(partition_module, "roll_up", swap)


def _forget_offsets_of_rows(patch: pytest.MonkeyPatch) -> None:
    read = rows_module.read_row
    patch.setattr(rows_module, "read_row", lambda *words: replace(read(*words), offset=-1))


def _believe_every_end(patch: pytest.MonkeyPatch) -> None:
    def whole(self: Tail, stored: Position | None) -> Verdict:
        return Verdict(self._position or stored or Position())

    patch.setattr(Tail, "verdict", whole)


def _heal_nothing(patch: pytest.MonkeyPatch) -> None:
    verdict = Tail.verdict
    patch.setattr(Tail, "verdict", lambda self, stored: replace(verdict(self, stored), heal_until=-1))


def _take_late_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Replay, "_held_offset", lambda self, key: -1)


def _ignore_the_fence(patch: pytest.MonkeyPatch) -> None:
    commit = MemoryChangelog.commit

    def unfenced(self: MemoryChangelog, batch: Batch, timeout_s: float = 20.0) -> dict[str, int]:
        self._epoch = self.kafka.epoch
        return commit(self, batch)

    patch.setattr(MemoryChangelog, "commit", unfenced)


def _take_what_is_in_already(patch: pytest.MonkeyPatch) -> None:
    take = Partition.take

    def again(self: Partition, records: list[tuple[int, bytes | None]]) -> None:
        if records and records[0][0] <= self.position:
            self.position = records[0][0] - 1
        take(self, records)

    patch.setattr(Partition, "take", again)


def _leave_a_gap(patch: pytest.MonkeyPatch) -> None:
    take = Partition.take

    def over(self: Partition, records: list[tuple[int, bytes | None]]) -> None:
        if records and records[0][0] > self.position:
            self.position = records[0][0] - 1
        take(self, records)

    patch.setattr(Partition, "take", over)


def _forget_the_checkpoint_under_way(patch: pytest.MonkeyPatch) -> None:
    prepare = Partition.prepare

    def forgetful(self: Partition, topic: str, now_s: float) -> tuple[Batch, list[bytes]]:
        prepared = prepare(self, topic, now_s)
        assert self._in_flight is not None
        self._in_flight.marks = {}
        return prepared

    patch.setattr(Partition, "prepare", forgetful)


def _apply_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    commit = MemoryChangelog.commit

    def late(self: MemoryChangelog, batch: Batch, timeout_s: float = 20.0) -> dict[str, int]:
        if self.kafka.fault is Fault.ABORTED:
            # What a store written first would hold: rows that Kafka never got.
            self.kafka.fault = Fault.NONE
            return {topic: end for topic, end in self.kafka.ends.items() if topic != TOPICS.rejected}
        return commit(self, batch)

    patch.setattr(MemoryChangelog, "commit", late)


def _take_every_gap_for_a_hole(patch: pytest.MonkeyPatch) -> None:
    take = MemoryFetch.take

    def unplaced(self: MemoryFetch, partition: int, most: int = 1_000_000) -> Records | None:
        found = take(self, partition, most)
        if found is not None:
            found.since = -1
        return found

    patch.setattr(MemoryFetch, "take", unplaced)
    patch.setattr(MemoryFetch, "request", lambda self, partition: 0)


def _keep_no_mark_in_the_store(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "_put_seen", lambda self, write, marks, sessions: None)


def _write_a_row_short(patch: pytest.MonkeyPatch) -> None:
    held = Rows.apply

    def short(self: Rows, *added: Any) -> object:
        applied = held(self, *added)
        applied.touched.pop(next(iter(applied.touched)))
        return applied

    patch.setattr(Rows, "apply", short)


def _read_on_past_the_rows(patch: pytest.MonkeyPatch) -> None:
    def unaware(store: Store, source: Source, topics: Topics, grows: bool = False) -> End:
        return bring_to_end(store, source, topics)

    patch.setattr(standby_module, "bring_to_end", unaware)


def _record_every_end(patch: pytest.MonkeyPatch) -> None:
    def recorded(store: Store, source: Source, topics: Topics, grows: bool = False) -> End:
        end = bring_to_end(store, source, topics, grows)
        store.restored(end.verdict.position, end.offsets)
        return end

    patch.setattr(standby_module, "bring_to_end", recorded)


MUTATIONS = (
    Mutation("drop a mark", plain_life, _drop_a_mark),
    Mutation("keep no mark in the store", plain_life, _keep_no_mark_in_the_store),
    Mutation("double a delta", plain_life, _double_a_delta),
    Mutation("swap two partners", plain_life, _swap_two_partners),
    Mutation("swap two entries", plain_life, _swap_two_entries_of_one_row),
    Mutation("write a row short", plain_life, _write_a_row_short),
    Mutation("forget which beacons a row includes", life_with_a_torn_checkpoint, _forget_offsets_of_rows),
    Mutation("believe a torn end", life_with_a_torn_checkpoint, _believe_every_end),
    Mutation("believe an end without its position row", life_with_a_lost_position_row, _believe_every_end),
    Mutation("heal nothing", life_with_a_lost_position_row, _heal_nothing),
    Mutation("take late rows for new ones", life_with_late_rows, _take_late_rows),
    Mutation("ignore the fence", life_of_two_owners, _ignore_the_fence),
    Mutation("take what is in already", life_with_repeated_deliveries, _take_what_is_in_already),
    Mutation("leave a gap", life_with_repeated_deliveries, _leave_a_gap),
    Mutation(
        "forget the checkpoint under way", life_while_a_checkpoint_is_on_its_way, _forget_the_checkpoint_under_way
    ),
    Mutation("write the store first", life_with_crashes, _apply_before_the_commit),
    Mutation("take every gap for a hole", life_of_a_worker_that_opens_again, _take_every_gap_for_a_hole),
    Mutation("take marks of later batches for read", life_of_a_copy, _read_on_past_the_rows),
    Mutation("record a torn end", life_of_a_copy_of_a_torn_checkpoint, _record_every_end),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_guard_taken_away_turns_its_checker_red(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.apply(monkeypatch)
    with pytest.raises((Red, pytest.fail.Exception)):
        mutation.checker()
