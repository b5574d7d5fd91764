"""Hostile clients: slow ones, huge ones, many of them, and bytes that are no HTTP; always bounded."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from pathlib import Path

import pytest

from tests.line.catalogue import CASES
from tests.line.ingest_line import FakeKafka, Mood, ends, ingest_line, read_answer, until

GET = b"GET /collect?sessionId=s HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = {"ingest_header_seconds": 0.6, "ingest_body_seconds": 0.5}
POST = b"POST /collect HTTP/1.1\r\nHost: a\r\n"


async def trickled(line: object, begin: bytes, then: bytes, every: float) -> bool:
    """Send bytes one by one; tell whether the other end closed without an answer."""
    reader, writer = await line.connect()  # type: ignore[attr-defined]
    writer.write(begin)

    async def trickle() -> None:
        for byte in then * 1000:
            writer.write(bytes([byte]))
            await asyncio.sleep(every)

    trickling = asyncio.create_task(trickle())
    try:
        return await ends(reader)
    finally:
        trickling.cancel()


@pytest.mark.parametrize(
    ("begin", "then"),
    [
        (b"", b""),
        (b"GET /col", b""),
        (b"GET /collect HTTP/1.1\r\n", b"X: a\r\n"),
        (POST + b"Content-Length: 50\r\n\r\nab", b""),
        (POST + b"Content-Length: 5000\r\n\r\nab", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
    ids=["silent", "half a line", "headers trickle", "body stops", "body trickles", "chunks trickle"],
)
async def test_who_is_slow_is_closed_without_an_answer(tmp_path: Path, begin: bytes, then: bytes) -> None:
    async with ingest_line(tmp_path, **SLOW) as line:
        assert await trickled(line, begin, then, 0.05)
        assert line.process.ledger.connections == 0
        assert line.process.ledger.unfinished_bytes == 0
        assert line.process.ledger.refused == ({"slow": 1} if begin else {})
        assert line.kafka.beacons() == []


async def test_an_idle_connection_is_closed_after_its_time_and_not_before(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_idle_seconds=3) as line:
        reader, writer = await line.connect()
        for _ in range(3):
            start = time.monotonic()
            writer.write(GET)
            assert (await read_answer(reader)).status == 200
        assert await ends(reader)
        # Its clock ticks four times a second.
        assert time.monotonic() - start > 2


async def test_headers_beyond_the_bound_are_refused(tmp_path: Path) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 900) for n in range(100))
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(b"GET /collect HTTP/1.1\r\nHost: a\r\n" + many)
        assert (await read_answer(reader)).status == 431
        assert await ends(reader)


async def test_whole_headers_beyond_the_bound_are_refused_though_they_came_in_one_piece(tmp_path: Path) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 900) for n in range(37))
    async with ingest_line(tmp_path) as line:
        answer = await line.send(b"GET /collect HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
        assert answer is not None
        assert (answer.status, line.kafka.beacons()) == (431, [])


async def test_a_chunked_body_over_the_bound_is_refused_before_its_end(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        for _ in range(30):
            writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        assert (await read_answer(reader)).status == 413


async def test_a_body_in_ten_thousand_crumbs_is_refused(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        answer = await line.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n")
        assert answer is None or answer.status == 413
        assert line.kafka.beacons() == []
        assert (await line.get("/collect")).status == 200


async def test_more_connections_than_allowed_are_told_so(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_connections=20) as line:
        kept = [await line.connect() for _ in range(20)]
        await until(lambda: line.process.ledger.connections == 20)
        reader, _ = await line.connect()
        answer = await read_answer(reader)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        for _, writer in kept[:5]:
            writer.close()
        await until(lambda: line.process.ledger.connections <= 16)
        assert (await line.get("/collect")).status == 200


async def test_what_waits_for_kafka_is_bounded_by_bytes(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka, ingest_waiting_mib=1, ingest_kafka_ms=5000, ingest_answer_ms=9000) as line:
        await until(lambda: bool(kafka.beats))
        kafka.mood = Mood.SILENT
        body = b"x" * 50_000
        post = POST + b"Content-Length: 50000\r\n\r\n" + body
        asked = [asyncio.create_task(line.send(post)) for _ in range(40)]
        await until(lambda: line.process.ledger.refused.get("overloaded", 0) > 0)
        await until(lambda: line.process.ledger.received == 40)
        assert line.process.ledger.waiting_bytes <= 1 << 20
        kafka.mood = Mood.TAKES
        kafka.release()
        answers = [answer.status for answer in await asyncio.gather(*asked) if answer]
        assert (answers.count(200), answers.count(503)) == (20, 20)
        assert line.process.ledger.waiting_bytes == 0


async def test_what_unfinished_requests_hold_is_bounded_by_bytes(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_waiting_mib=1) as line:
        for _ in range(20):
            _, writer = await line.connect()
            writer.write(POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000)
        await until(lambda: line.process.ledger.refused.get("overloaded", 0) >= 5)
        assert line.process.ledger.unfinished_bytes <= (1 << 20) + 300_000
        assert (await line.get("/collect")).status == 200


async def test_a_client_that_never_reads_is_not_read_from_for_ever(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_idle_seconds=1) as line:
        _, writer = await line.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        try:
            async with asyncio.timeout(8):
                while True:
                    writer.write(b"OPTIONS /collect HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
                    sent += 1000
                    await writer.drain()
        except (TimeoutError, ConnectionError):
            pass
        await until(lambda: line.process.ledger.connections == 0)
        assert line.process.ledger.preflights <= sent
        assert (await line.get("/collect")).status == 200


async def test_a_flood_of_garbage_logs_no_more_than_ten_lines_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with ingest_line(tmp_path) as line:
        await asyncio.gather(*(line.send(b"\x16\x03\x01garbage\r\n\r\n") for _ in range(300)))
        assert line.process.ledger.refused == {"unreadable": 300}
    assert len([record for record in caplog.records if record.levelno >= logging.INFO]) < 10


async def test_bytes_drawn_from_all_cases_leave_no_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Mutated and glued requests, seeded: any answer below 500 or none, and the next client is served.

    FUZZ_INPUTS makes it longer, SEED different.
    """
    draw = random.Random(int(os.environ.get("SEED", "4")))
    sources = [request for case in CASES for request in case.requests if len(request) < 5000]
    async with ingest_line(tmp_path, ingest_header_seconds=2, ingest_body_seconds=2) as line:
        for _ in range(int(os.environ.get("FUZZ_INPUTS", "1000")) // 25):
            raw = [mutated(draw, sources) for _ in range(25)]
            for answer in await asyncio.gather(*(exchanged(line, one) for one in raw)):
                assert answer is None or answer < 500
            assert (await line.get("/collect")).status == 200
        await until(lambda: line.process.ledger.connections == 0)
        ledger = line.process.ledger
        assert (ledger.waiting, ledger.waiting_bytes, ledger.unfinished_bytes) == (0, 0, 0)
        assert ledger.received == ledger.answered + sum(ledger.refused.values())
    assert [record for record in caplog.records if record.exc_info] == []


def mutated(draw: random.Random, sources: list[bytes]) -> bytes:
    raw = bytearray(draw.choice(sources))
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(raw))
        match draw.randrange(4):
            case 0:
                raw[at] = draw.randrange(256)
            case 1:
                del raw[at : at + draw.randrange(20)]
            case 2:
                raw[at:at] = draw.randbytes(draw.randrange(8))
            case _:
                raw += draw.choice(sources)
        if not raw:
            raw += b"\r\n"
    return bytes(raw)


async def exchanged(line: object, raw: bytes) -> int | None:
    reader, writer = await line.connect()  # type: ignore[attr-defined]
    writer.write(raw)
    writer.write_eof()
    try:
        head = await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return None
    finally:
        writer.close()
    return int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else None
