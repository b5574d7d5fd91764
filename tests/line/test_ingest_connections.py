"""Connections: order, pipelines, clients that leave, keeping alive, and the stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.line.ingest_line import Answer, FakeKafka, Mood, ends, ingest_line, read_answer, until

QUERY = "service=analytics&eventType=3&partnerId=1&sessionId=a%3Ab&eventIndex=1"


def bare_seconds(answer: Answer) -> None:
    assert (answer.status, answer.body.isdigit()) == (200, True)


async def test_answers_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, ingest_kafka_ms=5000, ingest_answer_ms=9000) as line:
        kafka.mood = Mood.SILENT
        reader, writer = await line.connect()
        get = "GET /collect?sessionId=a&callback=%s HTTP/1.1\r\nHost: a\r\n\r\n"
        options = "OPTIONS /collect HTTP/1.1\r\nHost: a\r\n\r\n"
        writer.write((get % "a1" + options + get % "a2" + options).encode())
        await until(lambda: bool(kafka.held))
        kafka.mood = Mood.TAKES
        kafka.release()
        answers = [await read_answer(reader) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 204, 200, 204]
        assert [answers[0].body[:7], answers[2].body[:7]] == [b"/**/a1(", b"/**/a2("]


async def test_a_thousand_pipelined_requests_are_answered_and_stored_in_order(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        raw = "".join(
            f"GET /collect?sessionId=one&eventIndex={n} HTTP/1.1\r\nHost: a\r\n\r\n"
            f"OPTIONS /collect HTTP/1.1\r\nHost: a\r\n\r\n"
            for n in range(500)
        )
        writer.write(raw.encode())
        statuses = [(await read_answer(reader)).status for _ in range(1000)]
        assert statuses == [200, 204] * 500
        indexes = [int(beacon.query.rpartition(b"=")[2]) for beacon in line.kafka.beacons()]
        assert indexes == list(range(500))


async def test_many_preflights_at_once_do_not_stall_a_connection(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(b"OPTIONS /collect HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        assert [(await read_answer(reader)).status for _ in range(200)] == [204] * 200


async def test_a_beacon_is_stored_though_its_client_has_gone(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_linger_ms=50) as line:
        _, writer = await line.connect()
        writer.write(f"GET /collect?{QUERY} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await writer.drain()
        writer.transport.abort()
        await until(lambda: len(line.kafka.beacons()) == 1)
        assert line.process.ledger.answered == 1


async def test_a_client_that_ends_its_side_first_reads_its_answer(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(f"GET /collect?{QUERY} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        writer.write_eof()
        bare_seconds(await read_answer(reader))
        assert await ends(reader)


@pytest.mark.parametrize(
    ("version", "header", "connection", "closes"),
    [
        ("1.1", "", None, False),
        ("1.1", "Connection: close\r\n", "close", True),
        ("1.0", "", "close", True),
        ("1.0", "Connection: keep-alive\r\n", "keep-alive", False),
        ("1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", "close", True),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "close", True),
    ],
)
async def test_a_connection_stays_open_as_its_client_wants(
    tmp_path: Path, version: str, header: str, connection: str | None, closes: bool
) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(f"GET /collect?{QUERY} HTTP/{version}\r\nHost: a\r\n{header}\r\n".encode())
        answer = await read_answer(reader)
        bare_seconds(answer)
        assert answer.headers.get("connection") == connection
        if closes:
            assert await ends(reader)
        else:
            writer.write(f"GET /collect?{QUERY} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
            bare_seconds(await read_answer(reader))


async def test_the_stop_answers_what_was_read_and_refuses_what_comes_after(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, ingest_kafka_ms=5000, ingest_answer_ms=9000) as line:
        idle, _ = await line.connect()
        reader, writer = await line.connect()
        kafka.mood = Mood.SILENT
        writer.write(f"GET /collect?{QUERY} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await until(lambda: bool(kafka.held))
        stopping = asyncio.create_task(line.stop())
        assert await ends(idle)
        kafka.mood = Mood.TAKES
        kafka.release()
        answer = await read_answer(reader)
        bare_seconds(answer)
        assert answer.headers["connection"] == "close"
        await stopping
        with pytest.raises(OSError, match="Connect"):
            await line.connect()


async def test_a_client_that_asks_once_more_during_the_stop_is_answered(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(b"GET /collect?a=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        bare_seconds(await read_answer(reader))
        stopping = asyncio.create_task(line.stop())
        await until(lambda: line.process._desk.draining)
        writer.write(b"GET /collect?a=2 HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await read_answer(reader)
        bare_seconds(answer)
        assert answer.headers["connection"] == "close"
        await stopping
        assert [beacon.query for beacon in line.kafka.beacons()] == [b"a=1", b"a=2"]
