"""Opening a partition whose changelog is read in many chunks: whatever their size, it holds what the changelog says."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.batch import is_position_key
from pipeline.changelog import Lost
from pipeline.opening import open_partition
from pipeline.store import Store
from tests.pipeline.life import RULES, TOPIC_ID, living, truth
from tests.pipeline.state_topics import TOPICS, MemoryChangelog
from tests.pipeline.test_opening import LOG, TRUTH


@pytest.mark.parametrize("many", [1, 50_000])
@pytest.mark.parametrize("wiped", [False, True])
def test_a_kafka_that_falls_silent_in_a_replay_leaves_the_store_openable(
    wiped: bool, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small chunks, so that some of it is in the store already.
    monkeypatch.setattr("pipeline.opening.CHUNK_ROWS", 2)
    monkeypatch.setattr("pipeline.opening.CHUNK_MARKS", 2)
    monkeypatch.setattr("pipeline.store.MANY_MARKS", many)
    monkeypatch.setattr("pipeline.store.MANY_ROWS", many)

    class Silent(MemoryChangelog):
        def replay(self, *arguments: Any) -> Any:
            for number, record in enumerate(super().replay(*arguments)):
                if number == 4:
                    raise Lost("replay: Kafka is silent")
                yield record

    with living(LOG) as life:
        for _ in range(3):
            life.take(5)
            life.checkpoint()
        life.crash(wiped)
        with pytest.raises(Lost):
            open_partition(0, life.path / str(life.lives), Silent(life.kafka), TOPICS, RULES, TOPIC_ID)  # type: ignore[arg-type]
        assert life.finish() == TRUTH


@pytest.mark.parametrize("many", [1, 50_000])
def test_a_replay_in_chunks_gives_what_a_replay_at_once_gives(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr("pipeline.store.MANY_MARKS", many)
    monkeypatch.setattr("pipeline.store.MANY_ROWS", many)
    monkeypatch.setattr("pipeline.opening.CHUNK_ROWS", 2)
    monkeypatch.setattr("pipeline.opening.CHUNK_MARKS", 2)
    with living(LOG) as life:
        for _ in range(5):
            life.take(4)
            life.checkpoint()
        stale = [
            (TOPICS.windows, key, value)
            for _, key, value in life.kafka.logs[TOPICS.windows]
            if not is_position_key(key)
        ][:3]
        life.crash(wiped=True)
        life.kafka.append(stale)
        assert life.stored_table() == truth(LOG[:20])
        assert life.finish() == TRUTH


def test_rows_of_many_bytes_are_written_before_there_are_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    restore = Store.restore

    def restoring(store: Store, rows: dict[bytes, bytes | None], *seen: Any) -> None:
        written.append(sum(len(value or b"") for value in rows.values()))
        restore(store, rows, *seen)

    monkeypatch.setattr("pipeline.opening.CHUNK_ROW_BYTES", 200)
    monkeypatch.setattr(Store, "restore", restoring)
    with living(LOG) as life:
        life.take(20)
        life.checkpoint()
        life.crash(wiped=True)
        assert life.stored_table() == truth(LOG[:20])
    assert sum(written) > 800
    assert max(written) < 400
