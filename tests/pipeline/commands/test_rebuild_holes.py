"""A rebuild never says that it has caught up where retention took beacons before they were counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from pipeline.batch import Position
from pipeline.changelog import Topics
from pipeline.commands import rebuild
from pipeline.commands.carrying import Origin, save
from tests.pipeline.commands.kafka_of_rebuild import MemoryKafka, in_memory


def at(offset: int, lost: int = 0) -> Position:
    return Position(offset=offset, ledger={"lostOffsets": lost} if lost else {})


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryKafka:
    """A state whose beacons begin at 5, counted to their end."""
    kafka = in_memory(tmp_path, monkeypatch)
    kafka.begin, kafka.end, kafka.counted = {0: 5}, {0: 20}, {0: at(19)}
    monkeypatch.setattr(rebuild, "LOOK_EVERY_S", 0.0)
    return kafka


@pytest.fixture
def new(old: MemoryKafka, monkeypatch: pytest.MonkeyPatch) -> MemoryKafka:
    """The state beside it, not begun."""
    kafka = MemoryKafka(old.line, topics=Topics.of("", "v2-"), begin=old.begin, end=old.end)
    monkeypatch.setattr(rebuild, "Broker", lambda *_: kafka)
    monkeypatch.setattr(rebuild, "ensure_topics", lambda *_: kafka.create())
    return kafka


def whole(kafka: Any) -> None:
    rebuild._whole(kafka, no_wait=False, yes=True)


def beside(kafka: Any) -> None:
    rebuild._beside(kafka, "v2-", workers=0)


def file_of(kafka: MemoryKafka) -> Path:
    return kafka.line.data_dir / "rebuild" / "v2-carried.ndjson.gz"


def test_what_was_gone_before_a_rebuild_and_was_carried_over_is_no_loss(old: MemoryKafka, new: MemoryKafka) -> None:
    new.will_count = {0: at(19, lost=5)}
    beside(old)
    assert not file_of(old).exists()
    old.will_count = {0: at(19, lost=5)}
    whole(old)


def test_records_that_went_while_a_rebuild_counted_are_told_and_it_fails(old: MemoryKafka) -> None:
    old.will_count = {0: at(19, lost=8)}
    with pytest.raises(click.ClickException, match=r"^3 beacon records were gone before they were counted, and no row"):
        whole(old)


def test_a_state_beside_with_a_hole_has_not_caught_up_and_is_not_gone_on_with(
    old: MemoryKafka, new: MemoryKafka
) -> None:
    new.will_count = {0: at(19, lost=8)}
    with pytest.raises(click.ClickException, match=r"^3 beacon records were gone before .* begin again with another"):
        beside(old)
    with pytest.raises(
        click.ClickException, match=r"^v2-windows lacks 3 beacon records that are gone by now; the pres"
    ):
        beside(old)


def test_a_state_beside_is_not_gone_on_with_where_the_next_records_are_gone(old: MemoryKafka, new: MemoryKafka) -> None:
    new.create()
    new.counted, old.begin = {0: at(9, lost=5)}, {0: 12}
    with pytest.raises(click.ClickException, match=r"^v2-windows lacks 2 beacon records that are gone by now"):
        beside(old)
    old.begin = {0: 10}
    new.will_count = {0: at(19, lost=5)}
    beside(old)


def test_a_partition_that_an_attempt_did_not_get_to_lacks_only_what_went_since(
    old: MemoryKafka, new: MemoryKafka
) -> None:
    new.create()
    new.counted = {1: at(9, lost=5)}
    old.begin = new.begin = {0: 5, 1: 5}
    new.end = {0: 20, 1: 10}
    save(file_of(old), [], Origin("", {0: 5, 1: 5}))
    new.will_count = {0: at(19, lost=5), 1: at(9, lost=5)}
    beside(old)
    assert not file_of(old).exists()
