"""What real players need of the answer, line by line of the protocol (its sections 6 and 7)."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from ingest.beacon import Beacon
from tests.line.ingest_line import Answer, FakeKafka, Line, Mood, ingest_line, read_answer

QUERY = "service=analytics&eventType=3&partnerId=1&sessionId=a%3Ab&eventIndex=1"


def bare_seconds(answer: Answer | None) -> int:
    assert answer is not None
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    return json.loads(answer.body)


def stored(line: Line) -> list[tuple[str, bytes, bytes, bytes, bytes]]:
    return [(b.method, b.path, b.query, b.content_type, b.body) for b in line.kafka.beacons()]


@pytest.mark.parametrize("path", ["/api_v3/index.php", "/collect"])
async def test_get_is_answered_with_the_seconds_at_which_it_was_received(tmp_path: Path, path: str) -> None:
    async with ingest_line(tmp_path) as line:
        before = int(time.time())
        assert before <= bare_seconds(await line.get(f"{path}?{QUERY}")) <= int(time.time())
        assert stored(line) == [("GET", path.encode(), QUERY.encode(), b"", b"")]


@pytest.mark.parametrize("path", ["/api_v3/index.php", "/collect"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"eventType=3&sessionId=a%3Ab"),
        ("application/json", b'{"eventType":3,"sessionId":"a:b"}'),
        ("text/plain;charset=UTF-8", b'{"eventType":3}'),
        ("application/json", b""),
        ("application/json", b"\xff\x00{not json"),
    ],
)
async def test_a_post_is_stored_with_the_bytes_that_came(
    tmp_path: Path, path: str, content_type: str, body: bytes
) -> None:
    head = f"POST {path}?service=analytics HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
    async with ingest_line(tmp_path) as line:
        bare_seconds(await line.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body))
        assert stored(line) == [("POST", path.encode(), b"service=analytics", content_type.encode(), body)]


async def test_a_post_in_chunks_is_stored_without_the_chunking(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        bare_seconds(
            await line.send(
                b"POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            )
        )
        assert stored(line) == [("POST", b"/collect", b"", b"", b"abcde")]


async def test_a_client_that_waits_for_100_continue_gets_it(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(b"POST /collect HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        bare_seconds(await read_answer(reader))


async def test_headers_are_kept_as_bytes(tmp_path: Path) -> None:
    raw = b"GET /collect?a=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: caf\xe9\r\nReferer: http://a/?x=%FF\r\n\r\n"
    async with ingest_line(tmp_path) as line:
        bare_seconds(await line.send(raw))
        (beacon,) = line.kafka.beacons()
        assert beacon == Beacon(
            beacon.id, beacon.time, "127.0.0.0", "GET", b"/collect", b"a=1", b"caf\xe9", b"http://a/?x=%FF"
        )


@pytest.mark.parametrize(
    ("agent", "kept"),
    [(b"a" * 4000, b"a" * 512), ("é".encode() * 400, "é".encode() * 256), (b"\xff" * 600, b"\xff" * 512)],
)
async def test_a_long_agent_is_cut_between_characters(tmp_path: Path, agent: bytes, kept: bytes) -> None:
    async with ingest_line(tmp_path) as line:
        bare_seconds(await line.send(b"GET /collect HTTP/1.1\r\nHost: a\r\nUser-Agent: " + agent + b"\r\n\r\n"))
        assert [beacon.agent for beacon in line.kafka.beacons()] == [kept]


async def test_options_is_answered_at_once_for_a_day_and_stores_nothing(tmp_path: Path) -> None:
    kafka = FakeKafka()
    async with ingest_line(tmp_path, kafka) as line:
        kafka.mood = Mood.SILENT
        answer = await line.send(b"OPTIONS /api_v3/index.php?a=1 HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n")
        assert answer is not None
        assert (answer.status, answer.body) == (204, b"")
        assert {name: answer.headers[name] for name in answer.headers if name.startswith("access-control")} == {
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "GET, POST, OPTIONS",
            "access-control-allow-headers": "Content-Type",
            "access-control-max-age": "86400",
        }
        assert (line.process.ledger.preflights, line.process.ledger.received) == (1, 0)


@pytest.mark.parametrize("callback", ["kapi_1", "$a", "jQuery123_456"])
async def test_jsonp_is_a_script(tmp_path: Path, callback: str) -> None:
    async with ingest_line(tmp_path) as line:
        answer = await line.get(f"/api_v3/index.php?{QUERY}&format=9&callback={callback}")
        seconds = line.kafka.beacons()[0].time // 1000
        assert answer.body == f"/**/{callback}({seconds});".encode()
        assert answer.headers["content-type"] == "application/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("callback", ["alert(1)//", "a.b", "", "%3Cscript%3E"])
async def test_a_callback_that_is_no_identifier_gets_the_bare_seconds(tmp_path: Path, callback: str) -> None:
    async with ingest_line(tmp_path) as line:
        bare_seconds(await line.get(f"/collect?{QUERY}&callback={callback}"))


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("HEAD /collect", 405),
        ("PUT /collect", 405),
        ("DELETE /api_v3/index.php", 405),
        ("TRACE /collect", 405),
        ("GET /", 404),
        ("GET /collect/", 404),
        ("POST /x", 404),
        ("OPTIONS /x", 404),
        ("get /collect", 400),
    ],
)
async def test_refusals_can_be_read_by_the_page_too(tmp_path: Path, request_line: str, status: int) -> None:
    async with ingest_line(tmp_path) as line:
        reader, writer = await line.connect()
        writer.write(f"{request_line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(60):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert int(lines[0].split(b" ")[1]) == status
        assert b"Access-Control-Allow-Origin: *" in lines
        assert b"Cache-Control: no-store" in lines
        assert (b"Allow: GET, POST, OPTIONS" in lines) is (status == 405)
        assert (body == b"") is request_line.startswith("HEAD")
        assert line.kafka.beacons() == []


async def test_nothing_is_validated(tmp_path: Path) -> None:
    queries = ["", "x", "eventType=abc", "=&&=", "eventType=99999&eventIndex=NaN&partnerId=-1", "a=%ZZ%", "%00"]
    async with ingest_line(tmp_path) as line:
        for query in queries:
            bare_seconds(await line.get(f"/collect?{query}"))
        assert [beacon.query.decode() for beacon in line.kafka.beacons()] == queries


async def test_an_identical_request_is_a_beacon_of_its_own(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        for _ in range(3):
            await line.get(f"/collect?{QUERY}")
        assert len({beacon.id for beacon in line.kafka.beacons()}) == 3


async def test_a_session_goes_to_one_partition_by_every_method(tmp_path: Path) -> None:
    body = b'{"sessionId":"a:b"}'
    post = b"POST /collect?sessionId=other HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with ingest_line(tmp_path) as line:
        await line.get(f"/collect?{QUERY}")
        await line.get("/api_v3/index.php?sessionId=a:b")
        await line.send(post)
        assert len({partition for partition, _ in line.kafka.records}) == 1


async def test_lines_and_headers_as_long_as_real_ones_are_taken(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        bare_seconds(await line.get(f"/collect?ks={'k' * 15000}", f"Referer: http://a/{'r' * 8000}\r\n"))
        (beacon,) = line.kafka.beacons()
        assert (len(beacon.query), len(beacon.referer)) == (15003, 8009)


@pytest.mark.parametrize(
    ("forwarded", "trusted", "full", "kept"),
    [
        ("", "", "network", "127.0.0.0"),
        ("X-Forwarded-For: 198.51.100.9\r\n", "", "network", "127.0.0.0"),
        ("X-Forwarded-For: 198.51.100.9\r\n", "127.0.0.0/8", "network", "198.51.100.0"),
        ("X-Forwarded-For: 198.51.100.9\r\n", "127.0.0.0/8", "full", "198.51.100.9"),
    ],
)
async def test_the_address_is_kept_as_far_as_allowed(
    tmp_path: Path, forwarded: str, trusted: str, full: str, kept: str
) -> None:
    settings = {"ingest_trusted_proxies": trusted, "ingest_address": full}
    async with ingest_line(tmp_path, **settings) as line:
        await line.get("/collect", forwarded)
        assert [beacon.address for beacon in line.kafka.beacons()] == [kept]


async def test_operators_have_their_pages(tmp_path: Path) -> None:
    async with ingest_line(tmp_path) as line:
        await line.get(f"/collect?{QUERY}")
        assert ((await line.get("/health")).status, (await line.get("/ready")).status) == (200, 200)
        metrics = (await line.get("/metrics")).body.decode()
        assert "\ningest_received_total 1.0\n" in metrics
        assert "\ningest_answered_total 1.0\n" in metrics
        assert "\ningest_produced_total 1.0\n" in metrics
