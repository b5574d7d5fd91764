"""Lines of old logs become beacons of their own time; the same lines get the same record ids again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.wire import decode, encode
from pipeline.commands.oldlogs import MOST_LINE_BYTES, LogReader, NoBeacon, Unreadable, cut, record_id

QUERY = "service=analytics&eventType=3&partnerId=1&sessionId=a%3Ab&eventIndex=1"
LINE = (
    f'203.0.113.9 - - [23/Nov/2026:10:00:00 +0000] "GET /api_v3/index.php?{QUERY} HTTP/1.1" 200 10 '
    '"https://page.example/?a=\\"b\\"" "Mozilla/5.0 (caf\\xC3\\xA9)"'
).encode()
TEN_MS = 1_795_428_000_000


def read(line: bytes) -> Beacon:
    return LogReader().read(line)[0]


def test_a_line_of_a_web_server_is_the_request_at_its_own_time() -> None:
    assert read(LINE) == Beacon(
        record_id(LINE, 1),
        TEN_MS,
        "203.0.113.0",
        "GET",
        b"/api_v3/index.php",
        QUERY.encode(),
        "Mozilla/5.0 (café)".encode(),
        b'https://page.example/?a="b"',
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((b"GET ", b"OPTIONS "), "another method, or no HTTP"),
        ((b"/api_v3/index.php", b"/favicon.ico"), "another path"),
        ((b'" 200 ', b'" 503 '), "refused"),
        ((b"GET /api_v3", b"\\x16\\x03\\x01"), "another method, or no HTTP"),
        ((b"GET /api_v3/index.php?" + QUERY.encode() + b" HTTP/1.1", b"-"), "another method, or no HTTP"),
    ],
)
def test_another_request_is_no_beacon_and_no_fault(change: tuple[bytes, bytes], why: str) -> None:
    with pytest.raises(NoBeacon, match=why):
        read(LINE.replace(*change))


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"{",
        b"{}",
        b'{"v":2,"id":"x","time":1}',
        b'{"time":"yesterday","query":"a=b"}',
        b'{"time":true,"query":"a=b"}',
        b'{"time":-1,"query":"a=b"}',
        b'{"time":1,"query":5}',
        b'{"time":"0001-01-01","query":"a=b"}',
        b'{"time":"9000-01-01","query":"a=b"}',
        b'{"time":"99999999999","query":"a=b"}',
        b'{"time":"999999999999999999999","query":"a=b"}',
        b'{"v":1,"id":"a","time":-99999999999999999,"query":"eventType=3"}',
        b'{"v":1,"id":"a","time":9223372036854775807,"query":"eventType=3"}',
        LINE.replace(b"2026", b"0001"),
        LINE.replace(b"23/Nov", b"32/Nov"),
        LINE.replace(b"Nov", b"Xxx"),
    ],
)
def test_a_line_of_no_known_format_is_told_as_such(line: bytes) -> None:
    with pytest.raises(Unreadable):
        read(line)


def test_a_line_that_is_more_than_kafka_takes_in_a_record_is_too_long() -> None:
    def sized(size: int) -> bytes:
        short = len(encode(Beacon(id="b", time=TEN_MS, body=b"x")))
        return encode(Beacon(id="b", time=TEN_MS, body=b"x" * (size - short + 1)))

    assert len(LogReader().read(sized(MOST_LINE_BYTES))[1]) == MOST_LINE_BYTES
    with pytest.raises(Unreadable, match="too long"):
        LogReader().read(sized(MOST_LINE_BYTES + 1))
    with pytest.raises(Unreadable, match="too long"):
        read(json.dumps({"time": 1_795_428_000, "query": "a=b", "body": "x" * 1_100_000}).encode())


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_more_than_be_refused(line: bytes) -> None:
    for text in (line, b"{" + line, LINE[: len(line)] + line):
        try:
            read(text)
        except (NoBeacon, Unreadable):
            continue


ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=ZONES))
def test_the_zone_of_a_time_is_respected(instant: datetime) -> None:
    instant = instant.replace(microsecond=0)
    text = instant.strftime("%d/%b/%Y:%H:%M:%S %z").encode()
    assert read(LINE.replace(b"23/Nov/2026:10:00:00 +0000", text)).time == int(instant.timestamp()) * 1000


@pytest.mark.parametrize(
    ("time", "milliseconds"),
    [
        (1_795_428_000, TEN_MS),
        (1_795_428_000.25, TEN_MS + 250),
        (TEN_MS + 7, TEN_MS + 7),
        ("1795428000", TEN_MS),
        (str(TEN_MS + 7), TEN_MS + 7),
        ("2026-11-23T10:00:00.500Z", TEN_MS + 500),
        ("2026-11-23T11:00:00+01:00", TEN_MS),
        ("2026-11-23 10:00:00", TEN_MS),
    ],
)
def test_times_of_json_lines_are_seconds_milliseconds_or_iso(time: object, milliseconds: int) -> None:
    assert read(json.dumps({"time": time, "query": QUERY}).encode()).time == milliseconds


def test_a_json_line_gives_what_it_knows() -> None:
    words = {"time": 1_795_428_000, "query": "?a=1", "method": "POST", "path": "/collect", "address": "2001:db8:1:2::3"}
    line = json.dumps(words | {"agent": "A", "referer": "R", "type": "application/json", "body": "{}"}).encode()
    assert read(line) == Beacon(
        record_id(line, 1), TEN_MS, "2001:db8:1::", "POST", b"/collect", b"a=1", b"A", b"R", b"application/json", b"{}"
    )


@given(st.builds(Beacon, id=st.text(max_size=9), time=st.integers(1, 2**42), query=st.binary(max_size=30)))
def test_a_line_of_ours_stays_as_it_is(beacon: Beacon) -> None:
    assert LogReader().read(encode(beacon)) == (beacon, encode(beacon))


@given(st.lists(st.sampled_from((LINE, LINE.replace(b"=3", b"=99"), LINE.replace(b"10:00", b"10:01"))), max_size=9))
def test_reading_a_file_again_gives_the_same_ids_and_no_two_lines_share_one(lines: list[bytes]) -> None:
    first, second = LogReader(), LogReader()
    ids = [first.read(line)[0].id for line in lines]
    assert ids == [second.read(line)[0].id for line in lines]
    assert len(set(ids)) == len(lines)


def test_what_is_put_reads_back_as_the_beacon() -> None:
    beacon, line = LogReader().read(LINE)
    assert decode(line) == beacon


@pytest.mark.parametrize(
    ("address", "kept"),
    [("203.0.113.9", "203.0.113.0"), ("2001:db8:1:2::3", "2001:db8:1::"), ("player.example", ""), ("", "")],
)
def test_addresses_are_cut_to_their_network(address: str, kept: str) -> None:
    assert cut(address) == kept


def test_a_leap_second_is_the_last_second_of_its_minute() -> None:
    line = LINE.replace(b"10:00:00 +0000", b"23:59:60 +0000")
    assert datetime.fromtimestamp(read(line).time / 1000, UTC) == datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)
