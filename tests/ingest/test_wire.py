"""The beacon line keeps every byte, is one line, and is refused by reason when it is none of ours."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.wire import UnreadableLine, decode, encode
from tests.ingest.drawn import beacons

PLAIN = Beacon("0123456789ab-7", 1795424820123, "203.0.113.0", "GET", b"/collect", b"eventType=3&partnerId=1")


@given(beacons)
def test_a_line_gives_back_the_beacon_byte_for_byte(beacon: Beacon) -> None:
    assert decode(encode(beacon)) == beacon


@given(beacons)
def test_a_line_is_one_line_of_json_without_control_bytes(beacon: Beacon) -> None:
    line = encode(beacon)
    assert min(line) >= 0x20
    assert json.loads(line)["v"] == 1


def test_empty_fields_and_the_method_get_are_left_out() -> None:
    assert encode(PLAIN) == (
        b'{"v":1,"id":"0123456789ab-7","time":1795424820123,"address":"203.0.113.0",'
        b'"path":"/collect","query":"eventType=3&partnerId=1"}'
    )


def test_every_field_has_its_place() -> None:
    beacon = Beacon("b-1", 5, "", "POST", b"/collect", b"q=1", b"agent", b"http://a/", b"text/plain", b'{"a":1}')
    assert encode(beacon) == (
        b'{"v":1,"id":"b-1","time":5,"method":"POST","path":"/collect","query":"q=1","agent":"agent",'
        b'"referer":"http://a/","type":"text/plain","body":"{\\"a\\":1}"}'
    )


@pytest.mark.parametrize("raw", [b"\xe9", b"a\x00b", b"\x1b[0m", b"\xed\xa0\x80"])
def test_bytes_that_json_can_not_carry_travel_as_base64(raw: bytes) -> None:
    beacon = Beacon("b-1", 5, agent=raw)
    line = json.loads(encode(beacon))
    assert ("agent" in line, "agent64" in line) == (False, True)
    assert decode(encode(beacon)) == beacon


def test_a_body_of_control_bytes_stays_smaller_than_kafka_takes() -> None:
    longest = Beacon("b-1", 5, "", "POST", b"/collect", b'"' * 16384, b"", b"\\" * 32768, b"", b"\x01" * 262144)
    escaped = Beacon("b-1", 5, "", "POST", b"/collect", b"", b"", b"", b"", b'"' * 262144)
    assert max(len(encode(longest)), len(encode(escaped))) < 700_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"[1]", "bad_field"),
        (b'{"v":1}', "bad_field"),
        (b'{"v":1,"id":"a","time":"1"}', "bad_field"),
        (b'{"v":1,"id":"\xff","time":1}', "bad_field"),
        (b'{"v":1,"id":"a","time":1,"body64":"*"}', "bad_field"),
        (b'{"v":2,"id":"a","time":1}', "unknown_version"),
        (b'{"v":2}', "unknown_version"),
        (b'{"id":"a","time":1}', "bad_field"),
        (b"[" * 100_000, "bad_field"),
        (b'{"v":1,"id":"a","time":1,"x":' + b"[" * 100_000, "not_json"),
    ],
)
def test_a_line_that_is_none_of_ours_is_refused_by_reason(line: bytes, reason: str) -> None:
    with pytest.raises(UnreadableLine) as refusal:
        decode(line)
    assert refusal.value.reason == reason


@given(st.binary(max_size=200))
def test_any_bytes_are_a_beacon_or_unreadable_and_nothing_else(line: bytes) -> None:
    try:
        decode(line)
    except UnreadableLine as refusal:
        assert refusal.reason in {"not_json", "bad_field", "unknown_version"}
