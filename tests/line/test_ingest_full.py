"""An ingest at its bounds: operators still get an answer, and it takes traffic again when there is room again."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.kafka import free_port
from ingest.desk import ADMIN_CONNECTIONS, LINGERING
from tests.line.ingest_line import FakeKafka, ingest_line, metrics, read_answer, sent, statuses, until

PAGES = ("/health", "/ready", "/metrics")


async def test_operators_are_answered_by_their_port_while_players_hold_every_connection(tmp_path: Path) -> None:
    port = free_port()
    async with ingest_line(tmp_path, ingest_connections=20, ingest_admin_port=port) as line:
        admin = replace(line, port=port)
        for _ in range(20):
            await line.connect()
        await until(lambda: metrics(line, "connections") == (20,))
        for _ in range(2 * ADMIN_CONNECTIONS):
            assert [(await admin.get(page, "Connection: close\r\n")).status for page in PAGES] == [200, 200, 200]
            await until(lambda: len(line.process._desk.connections) == 20)
        assert (await line.get("/health")).status == 503
        assert line.process.ledger.refused == {"too_many_connections": 1}
        await admin.close_clients()


async def test_connections_of_operators_are_counted_for_themselves_and_bounded(tmp_path: Path) -> None:
    port = free_port()
    async with ingest_line(tmp_path, ingest_connections=2, ingest_admin_port=port) as line:
        admin = replace(line, port=port)
        for _ in range(ADMIN_CONNECTIONS):
            await admin.connect()
        await until(lambda: len(line.process._desk.connections) == ADMIN_CONNECTIONS)
        assert (metrics(line, "connections"), await admin.send(b"GET /health HTTP/1.1\r\n\r\n")) == ((0,), None)
        assert statuses(await sent(line, 1, 1)) == {200}
        await admin.close_clients()


async def test_of_those_over_the_bound_only_some_are_told_so_and_the_rest_are_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.connection._LINGER_SECONDS", 30.0)
    async with ingest_line(tmp_path, ingest_connections=5) as line:
        for _ in range(5):
            await line.connect()
        await until(lambda: metrics(line, "connections") == (5,))
        over = [await line.connect() for _ in range(LINGERING)]
        for reader, _ in over:
            assert (await read_answer(reader)).status == 503
        await until(lambda: metrics(line, "connections") == (5 + LINGERING,))
        reader, _ = await line.connect()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await read_answer(reader)
        assert line.process.ledger.refused == {"too_many_connections": LINGERING + 1}
        assert line.process.ledger.received == LINGERING + 1


async def test_a_disk_that_has_room_again_is_found_without_a_beacon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka, ingest_spool_min_free_mib=1) as line:
        with monkeypatch.context() as full:
            full.setattr("ingest.segments.Segments.free_bytes", lambda _: 0)
            assert statuses(await sent(line, 1, 1)) == {503}
            assert (await line.get("/ready")).status == 503
        await until(line.process._spool.has_room, 60)
        assert (await line.get("/ready")).status == 200
        assert metrics(line, "received") == (1,)


async def test_a_disk_that_works_again_is_found_without_a_beacon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = FakeKafka()
    kafka.away = True
    async with ingest_line(tmp_path, kafka) as line:
        trials: list[int] = []

        def fails(fd: int) -> None:
            trials.append(fd)
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr("ingest.segments.os.fdatasync", fails)
            assert statuses([*await sent(line, 1, 1), *await sent(line, 2, 2)]) == {503}
            assert (await line.get("/ready")).status == 503
            # It is tried, and not believed to be well while it is not.
            await until(lambda: len(trials) > 2, 60)
            assert not line.process._spool.has_room()
        await until(line.process._spool.has_room, 60)
        assert (await line.get("/ready")).status == 200
        assert (metrics(line, "received"), statuses(await sent(line, 3, 3))) == ((2,), {200})
        assert not (line.process._folder.path / "trial").exists()
