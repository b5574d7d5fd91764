"""A session is found in query, form and JSON body, by its bytes, and decides the partition."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.beacon import Beacon, body_is_json, first_value, partition_of, percent_decode, session_of
from tests.ingest.drawn import beacons


def beacon(query: bytes = b"", body: bytes = b"") -> Beacon:
    return Beacon("boot-1", 1, query=query, body=body)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"a%3Ab", b"a:b"),
        (b"a+b%20c", b"a b c"),
        (b"%ff%FE", b"\xff\xfe"),
        (b"%ZZ%u0041%", b"%ZZ%u0041%"),
        (b"%253A", b"%3A"),
        (b"%E2%82", b"\xe2\x82"),
        (b"%c0%af", b"\xc0\xaf"),
        (b"%00", b"\x00"),
    ],
)
def test_percent_escapes_are_decoded_once_and_bad_ones_stay(raw: bytes, plain: bytes) -> None:
    assert percent_decode(raw) == plain


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        (b"sessionId=a", b"a"),
        (b"x=1&sessionId=a&y=2", b"a"),
        (b"sessionId=a&sessionId=b", b"a"),
        (b"sessionId=&sessionId=b", b""),
        (b"sessionId&sessionId=b", b"b"),
        (b"sessionId", None),
        (b"sessionIdx=1&sessionId=a", b"a"),
        (b"xsessionId=1&sessionId=a", b"a"),
        (b"x=sessionId=9&sessionId=a", b"a"),
        (b"x=sessionId", None),
        (b"session%49d=a", b"a"),
        (b"%73essionId=encoded&sessionId=written", b"written"),
        (b"session%49d&%73essionId=first&session%49d=second", b"first"),
        (b"sessionid=a", None),
        (b"sessionId[]=a", None),
        (b"x=1;sessionId=a", None),
        (b"sessionId=a%3Ab+c", b"a:b c"),
        (b"", None),
    ],
)
def test_the_first_parameter_of_a_name_counts(pairs: bytes, value: bytes | None) -> None:
    assert first_value(pairs, b"sessionId") == value


names = st.sampled_from([b"sessionId", b"session%49d", b"eventType", b"xsessionId", b"sessionIdx", b"", b"a b"])


@given(st.lists(st.tuples(names, st.binary(max_size=8)), max_size=8))
def test_a_value_is_found_as_by_a_plain_reading_of_all_pairs(pairs: list[tuple[bytes, bytes]]) -> None:
    text = b"&".join(name + b"=" + quote_from_bytes(value).encode() for name, value in pairs)
    written = [value for name, value in pairs if name == b"sessionId"]
    encoded = [value for name, value in pairs if percent_decode(name) == b"sessionId"]
    assert first_value(text, b"sessionId") == next(iter(written + encoded), None)


@given(st.text(alphabet="ab&=%+5D;", max_size=40))
def test_decoding_agrees_with_the_standard_library(text: str) -> None:
    with_values = "&".join(pair for pair in text.split("&") if "=" in pair)
    pairs = parse_qsl(with_values, keep_blank_values=True, encoding="latin-1")
    written = [pair.partition("=")[2] for pair in text.split("&") if pair.startswith("a=")]
    values = [value for name, value in pairs if name == "a"]
    expected = dict(parse_qsl(f"a={written[0]}", keep_blank_values=True, encoding="latin-1"))["a"] if written else None
    expected = values[0] if expected is None and values else expected
    assert first_value(text.encode(), b"a") == (None if expected is None else expected.encode("latin-1"))


@pytest.mark.parametrize(
    ("query", "body", "session"),
    [
        (b"sessionId=q", b"", b"q"),
        (b"sessionId=q", b"sessionId=b", b"b"),
        (b"sessionId=q", b"eventIndex=1", b"q"),
        (b"sessionId=q", b" sessionId=b\r\n", b"b"),
        (b"sessionId=q", b'{"sessionId":["b"]}', b"q"),
        (b"", b'{"sessionId":1e2}', b"100.0"),
        (b"sessionId=q", b'{"sessionId":"b"}', b"b"),
        (b"sessionId=q", b'{"eventIndex":1}', b"q"),
        (b"sessionId=q", b'\xef\xbb\xbf {"sessionId":"b"}', b"b"),
        (b"sessionId=a%3Ab", b"", b"a:b"),
        (b"", b'{"sessionId":"a:b"}', b"a:b"),
        (b"", b'{"session\\u0049d":"\\u0061"}', b"a"),
        (b"", b'{"sessionId":"x","sessionId":"y"}', b"y"),
        (b"", b'{"sessionId":7}', b"7"),
        (b"", b'{"sessionId":null}', b"null"),
        (b"sessionId=q", b'{"sessionId":', b"q"),
        (b"sessionId=q", b"[" * 100_000, b"q"),
        (b"sessionId=q", b'{"a":' * 100_000, b"q"),
        (b"sessionId=q", b'{"sessionId":"\xff"}', b"q"),
        (b"sessionId=q", b'{"sessionId":"\\ud800"}', b"q"),
        (b"sessionId=q", '{"sessionId":"u"}'.encode("utf-16"), b"q"),
        (b"sessionId=", b"", b""),
        (b"", b"", b""),
    ],
)
def test_the_session_of_the_body_wins(query: bytes, body: bytes, session: bytes) -> None:
    assert session_of(beacon(query, body)) == session


def test_the_same_session_by_get_form_and_json_is_one_partition() -> None:
    session = "0cec48b6-f605-29f4-c893-d68ac44c4769"
    same = [
        beacon(f"eventIndex=1&sessionId={session}%3Aab".encode()),
        beacon(b"service=analytics", f"sessionId={session}%3aab".encode()),
        beacon(b"service=analytics", f'{{"sessionId":"{session}:ab"}}'.encode()),
    ]
    assert len({partition_of(one, 1000) for one in same}) == 1


def test_sessions_that_differ_in_bytes_that_are_no_text_stay_two() -> None:
    assert session_of(beacon(b"sessionId=%ff")) != session_of(beacon(b"sessionId=%fe"))


def test_beacons_without_a_session_spread_by_their_record_id() -> None:
    spread = {partition_of(Beacon(f"boot-{n}", 1, query=b"sessionId="), 8) for n in range(100)}
    assert spread == set(range(8))


@given(beacons, st.integers(1, 64))
def test_every_beacon_has_a_partition(beacon: Beacon, partitions: int) -> None:
    assert 0 <= partition_of(beacon, partitions) < partitions


@pytest.mark.parametrize(
    ("body", "json"),
    [
        (b'{"a":1}', True),
        (b" \n[1]", True),
        (b"\xef\xbb\xbf{", True),
        (b"a=1", False),
        (b"", False),
        (b"\xff\xfe{", False),
    ],
)
def test_a_body_is_json_by_its_first_character(body: bytes, json: bool) -> None:
    assert body_is_json(body) is json
