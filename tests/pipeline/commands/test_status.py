"""`status` promises nothing that a spool holds, whatever the clocks of the machines say."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from pipeline.batch import Position
from pipeline.commands import status


def broker_with(said: dict[bytes, dict[str, int | None] | None]) -> Any:
    """Return a broker of one counted partition whose ingests have said this."""
    messages = [
        SimpleNamespace(key=lambda name=name: name, value=lambda words=words: words and orjson.dumps(words))
        for name, words in said.items()
    ]
    return SimpleNamespace(
        kafka=None,
        group="pipeline",
        topics=SimpleNamespace(beacons="beacons", ingests="ingests"),
        partitions=lambda topic: [0],
        starts=lambda topic: {0: 0},
        ends=lambda topic: {0: 1},
        read=lambda topic, begin, end: [messages],
        members=lambda: [],
        topic_id=lambda topic: "t",
        positions=lambda: {0: Position(offset=0, topic="t")},
    )


def test_a_spool_holds_the_promise_back_though_its_ingest_has_a_clock_that_is_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status, "ask_copies", lambda *asked: None)
    now = time.time_ns() // 1_000_000
    ahead = {"time": now + 60_000, "pendingSince": now - 600_000}
    found = status.stand(broker_with({b"a": ahead, b"b": {"time": now - 1, "pendingSince": None}, b"gone": None}))
    assert [ingest.name for ingest in found.ingests] == ["a", "b"]
    assert found.counted_through == now - 600_000


def test_a_clock_that_is_ahead_promises_nothing_beyond_the_moment_of_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "ask_copies", lambda *asked: None)
    ahead = {"time": time.time_ns() // 1_000_000 + 60_000, "pendingSince": None}
    found = status.stand(broker_with({b"a": ahead}))
    assert found.counted_through == found.asked_at
