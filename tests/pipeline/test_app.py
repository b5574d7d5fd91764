"""The line of a worker as it is put together: what Faust is allowed to do, and that its agent never raises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.assignor.client_assignment import ClientAssignment
from faust.types import TP

from pipeline.app import METADATA_MS, Line
from pipeline.config import KafkaSettings, LineSettings, WorkerSettings
from pipeline.fetch import Transport


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr("pipeline.fetch.RdConsumer", lambda settings: SimpleNamespace(close=lambda: None))
    yield Line(
        KafkaSettings(bootstrap="a:1,b:2"), LineSettings(topic_prefix="t-", data_dir=tmp_path), WorkerSettings(id="w")
    )


def test_fausts_web_server_which_shows_tables_to_everybody_is_off(line: Line) -> None:
    assert line.app.conf.web_enabled is False
    assert line.app.conf.topic_allow_declare is False


def test_every_name_of_the_line_has_its_prefix(line: Line) -> None:
    assert (line.group, line.app.conf.id, line.topics.beacons) == ("t-pipeline", "t-pipeline", "t-beacons")
    assert [str(url) for url in line.app.conf.broker] == ["kafka://a:1", "kafka://b:2"]


def test_beacons_come_through_our_fetch(line: Line) -> None:
    assert isinstance(line.app.transport, Transport)
    assert line.app.transport._fetch is line.fetch


def test_state_lies_in_the_workers_own_folder(line: Line, tmp_path: Path) -> None:
    assert line.owner._place.state_dir == tmp_path / "state" / "w"
    assert (tmp_path / "state" / "w").is_dir()


def test_one_agent_counts(line: Line) -> None:
    assert list(line.app.agents) == ["count"]


async def test_the_agent_hands_every_event_with_its_acknowledgement_to_the_owner(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []

    async def take(number: int, records: Any, acknowledge: Any) -> None:
        taken.append((number, records, acknowledge))

    events = [
        SimpleNamespace(message=SimpleNamespace(partition=3), value="first", ack="ack-1"),
        SimpleNamespace(message=SimpleNamespace(partition=0), value="second", ack="ack-2"),
    ]

    class Stream:
        def noack(self) -> Stream:
            return self

        async def events(self) -> Any:
            for event in events:
                yield event

    monkeypatch.setattr(line.owner, "take", take)
    await line.app.agents["count"].fun(Stream())
    assert taken == [(3, "first", "ack-1"), (0, "second", "ack-2")]


async def test_files_of_the_operator_are_followed_beside_the_line(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.app.FILES_S", 0.001)
    loop, refreshed = asyncio.get_running_loop(), asyncio.Event()
    threads: list[int] = []

    def refresh() -> None:
        threads.append(threading.get_ident())
        if len(threads) == 3:
            loop.call_soon_threadsafe(refreshed.set)

    assert line._enrichment is not None
    monkeypatch.setattr(line._enrichment, "refresh", refresh)
    following = asyncio.ensure_future(line._follow_files())
    await asyncio.wait_for(refreshed.wait(), 10)
    following.cancel()
    # Reading a large file must not hold up the loop that counts.
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(("standby", "followed"), [(1, [{1, 2}]), (0, [set()])])
async def test_a_worker_follows_what_the_assignor_gives_it_copies_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, standby: int, followed: list[set[int]]
) -> None:
    monkeypatch.setattr("pipeline.fetch.RdConsumer", lambda settings: SimpleNamespace(close=lambda: None))
    line = Line(KafkaSettings(), LineSettings(data_dir=tmp_path), WorkerSettings(id="a b/c", standby=standby))
    done: list[Any] = []

    async def assign(numbers: Any) -> None:
        done.append(("assign", set(numbers)))

    async def let_go(numbers: Any) -> None:
        done.append(("let go", set(numbers)))

    async def follow(numbers: Any) -> None:
        done.append(("follow", set(numbers)))

    monkeypatch.setattr(line.owner, "assign", assign)
    monkeypatch.setattr(line.standby, "let_go", let_go)
    monkeypatch.setattr(line.standby, "follow", follow)
    given = ClientAssignment(actives={"beacons": [0, 3]}, standbys={"beacons": [1, 2, 3], "another": [7]})
    line.app.assignor._assignment = given
    await line.app.on_partitions_assigned.send({TP("beacons", 0), TP("beacons", 3), TP("another", 5)})
    assert done == [("let go", {0, 3}), ("assign", {0, 3}), *(("follow", numbers) for numbers in followed)]
    assert line.app.conf.table_standby_replicas == standby
    assert str(line.app.conf.canonical_url) == str(line.app.assignor._url)
    # What a leader goes by while a broker that comes back knows of no topic; Kafka is asked again soon.
    assert line.app.assignor.partitions == {"beacons": LineSettings().partitions}
    assert line.app.conf.consumer_metadata_max_age_ms == METADATA_MS < 30_000
