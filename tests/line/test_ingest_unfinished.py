"""What comes behind a whole request, in one read with it or in pieces: it is accounted for, and its time ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.line.ingest_line import ends, ingest_line, metrics, read_answer, until

GET = b"GET /collect?sessionId=s HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\n"


async def test_the_beginning_of_a_request_behind_a_whole_one_is_held_and_closed_in_time(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_header_seconds=3) as line:
        for _ in range(10):
            reader, writer = await line.connect()
            writer.write(GET + b"GET /collect?" + b"x" * 10_000)
            assert (await read_answer(reader)).status == 200
        await until(lambda: line.process.ledger.unfinished_bytes >= 10 * 10_000)
        await until(lambda: metrics(line, "connections", "unfinished_bytes") == (0, 0), 30)
        assert line.process.ledger.refused == {"slow": 10}


async def test_what_is_held_behind_whole_requests_is_bounded(tmp_path: Path) -> None:
    async with ingest_line(tmp_path, ingest_waiting_mib=1) as line:
        behind = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 900) for n in range(34))
        for _ in range(50):
            _, writer = await line.connect()
            writer.write(GET + b"GET /collect HTTP/1.1\r\nHost: a\r\n" + behind)
        await until(lambda: line.process.ledger.refused.get("overloaded", 0) > 0, 30)
        assert line.process.ledger.unfinished_bytes <= (1 << 20) + 300_000


@pytest.mark.parametrize(
    ("first", "second"),
    [(POST % b"3", b"a=1"), (POST % b"3" + b"a", b"=1"), (GET[:-2], GET[-2:]), (GET[:4], GET[4:])],
    ids=["a head, then its body", "half a body", "half an end", "half a line"],
)
@pytest.mark.parametrize("path", [b"/collect", b"/elsewhere"], ids=["answered later", "answered at once"])
async def test_a_request_in_two_pieces_holds_nothing_and_its_connection_is_idle_after_it(
    tmp_path: Path, first: bytes, second: bytes, path: bytes
) -> None:
    async with ingest_line(tmp_path, ingest_idle_seconds=0.5) as line:
        reader, writer = await line.connect()
        writer.write(first.replace(b"/collect", path))
        await until(lambda: line.process.ledger.unfinished_bytes > 0)
        writer.write(second.replace(b"/collect", path))
        assert (await read_answer(reader)).status == (200 if path == b"/collect" else 404)
        await until(lambda: line.process.ledger.unfinished_bytes == 0)
        assert await ends(reader, 30)
        assert line.process.ledger.refused.get("slow") is None


@pytest.mark.parametrize(("body", "status"), [(b"a=1&b", 200), (b"", None)])
async def test_a_length_with_thousands_of_zeros_is_a_length(
    tmp_path: Path, body: bytes, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with ingest_line(tmp_path, ingest_body_seconds=0.5) as line:
        answer = await line.send(POST % (b"0" * 5000 + b"5") + body)
        assert (answer and answer.status) == status
        await until(lambda: line.process.ledger.connections == 0, 30)
        assert line.process.ledger.refused == ({} if status else {"slow": 1})
    assert [record for record in caplog.records if record.exc_info or record.name == "asyncio"] == []


async def test_a_length_over_the_bound_behind_thousands_of_zeros_is_refused(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        answer = await line.send(POST % (b"0" * 5000 + b"999999"))
        assert (answer and answer.status, line.process.ledger.refused) == (413, {"too_large": 1})
