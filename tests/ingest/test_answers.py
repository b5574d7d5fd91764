"""The bytes of every answer: what players need is on each of them."""

from __future__ import annotations

import pytest

from ingest.answers import Keep, Page, Refused, page, preflight, refused, script_callback, stored

EVERY = [
    stored(1459671407, b"", Keep.OPEN),
    stored(1459671407, b"kapi_1", Keep.CLOSE),
    preflight(1459671407, Keep.OPEN),
    page(Page("200 OK", "ok\n"), 1459671407, Keep.OPEN_10, with_body=True),
    *(refused(reason, 1459671407, Keep.CLOSE) for reason in Refused),
]


def test_a_stored_beacon_is_answered_with_the_bare_unix_seconds() -> None:
    assert stored(1459671407, b"", Keep.OPEN) == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 10\r\n"
        b"Access-Control-Allow-Origin: *\r\n"
        b"Cache-Control: no-store\r\n"
        b"X-Content-Type-Options: nosniff\r\n"
        b"Date: Sun, 03 Apr 2016 08:16:47 GMT\r\n"
        b"\r\n"
        b"1459671407"
    )


def test_jsonp_is_a_script_that_hands_the_seconds_over() -> None:
    head, _, body = stored(1459671407, b"kapi_1", Keep.OPEN).partition(b"\r\n\r\n")
    assert body == b"/**/kapi_1(1459671407);"
    assert b"Content-Type: application/javascript; charset=utf-8\r\n" in head
    assert b"X-Content-Type-Options: nosniff\r\n" in head


@pytest.mark.parametrize("answer", EVERY)
def test_every_answer_can_be_read_by_any_page_and_kept_by_none(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines.count(b"Access-Control-Allow-Origin: *") == 1
    assert lines.count(b"Cache-Control: no-store") == 1
    assert not [line for line in lines if line.lower().startswith(b"server:")]
    length = [line for line in lines if line.startswith(b"Content-Length: ")]
    assert length == ([] if b" 204 " in lines[0] else [b"Content-Length: %d" % len(body)])


def test_a_preflight_says_what_a_page_may_send_for_a_day() -> None:
    assert preflight(1459671407, Keep.OPEN).split(b"\r\n")[:5] == [
        b"HTTP/1.1 204 No Content",
        b"Allow: GET, POST, OPTIONS",
        b"Access-Control-Allow-Methods: GET, POST, OPTIONS",
        b"Access-Control-Allow-Headers: Content-Type",
        b"Access-Control-Max-Age: 86400",
    ]


def test_a_refusal_has_a_constant_body_or_none() -> None:
    with_body = refused(Refused.UNKNOWN_PATH, 1, Keep.OPEN)
    assert with_body.endswith(b"\r\n\r\n404 Not Found\n")
    assert refused(Refused.UNKNOWN_PATH, 1, Keep.OPEN, with_body=False) == with_body.removesuffix(b"404 Not Found\n")
    assert b"Retry-After: 5\r\n" in refused(Refused.NOT_STORED, 1, Keep.OPEN)
    assert b"Allow: GET, POST, OPTIONS\r\n" in refused(Refused.METHOD, 1, Keep.OPEN)


@pytest.mark.parametrize(
    ("value", "callback"),
    [
        (b"kapi_1", b"kapi_1"),
        (b"$x", b"$x"),
        (b"alert(1)//", b""),
        (b"a.b", b""),
        (b"1a", b""),
        (b"", b""),
        (b"a\n", b""),
        (b"a" * 64, b"a" * 64),
        (b"a" * 65, b""),
        (None, b""),
    ],
)
def test_only_a_plain_identifier_is_a_callback(value: bytes | None, callback: bytes) -> None:
    assert script_callback(value) == callback
