"""A connection fed a stream cut anywhere: what it holds is what is behind the last whole request, and is waited for."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, cast

import pytest
import uvloop
from aiohttp.http import RawRequestMessage

from ingest.answers import Refused
from ingest.connection import Connection
from ingest.waiting import Answering, Limits, Place, Waiting

LIMITS = Limits(16384, 32768, 262144, header_seconds=10, body_seconds=5, idle_seconds=75)
GET = b"GET /collect?a=1 HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
CHUNKS = b"POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n"


def post(body: bytes) -> bytes:
    return POST % (len(body), body)


class Transport:
    """Takes answers and says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class OpenDesk:
    """Answers every request, at once or when asked to."""

    now = 0.0
    seconds = 0
    draining = False

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self.held = 0
        self.bodies: list[bytes] = []
        self.waiting: list[Waiting] = []

    def serve(self, request: RawRequestMessage, body: bytes, waiting: Waiting) -> bytes | None:
        self.bodies.append(body)
        self.waiting.append(waiting)
        return b"answer" if self.at_once else None

    def refuse_unread(self, reason: Refused) -> None:
        raise AssertionError(reason)

    def opened(self, connection: Answering) -> Place:
        return Place.FREE

    def closed(self, connection: Answering) -> None:
        """Nobody counts here."""

    def hold(self, change: int) -> bool:
        self.held += change
        return True

    def answer_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.connection.answer(one, b"answer")


def fed(pieces: list[bytes], *, at_once: bool) -> tuple[OpenDesk, Connection]:
    loop = uvloop.new_event_loop()
    try:
        desk = OpenDesk(at_once=at_once)
        connection = Connection(loop, desk, LIMITS)
        connection.connection_made(cast(asyncio.Transport, Transport()))
        for piece in pieces:
            if piece:
                connection.data_received(piece)
        if not at_once:
            desk.answer_all()
        return desk, connection
    finally:
        loop.close()


@pytest.mark.parametrize("at_once", [True, False], ids=["answered at once", "answered later"])
@pytest.mark.parametrize("last", [GET, post(b"{}"), post(b"\r\n\r\n"), post(GET), CHUNKS])
def test_after_a_whole_request_nothing_is_held_and_the_next_has_its_time(last: bytes, at_once: bool) -> None:
    for first, cut in itertools.product((b"", GET, post(b"a=1")), range(len(last))):
        desk, connection = fed([first, last[:cut], last[cut:]], at_once=at_once)
        assert (desk.held, connection.deadline) == (0, LIMITS.idle_seconds), (first, cut)


@pytest.mark.parametrize("at_once", [True, False], ids=["answered at once", "answered later"])
@pytest.mark.parametrize("last", [GET, post(b"{}"), post(b"\r\n\r\n"), post(GET + b"G"), post(b"G"), CHUNKS])
def test_what_follows_a_whole_request_is_held_and_has_the_time_of_a_head(last: bytes, at_once: bool) -> None:
    rest = b"GET /collect?" + b"G" * 500
    for first, cut in itertools.product((b"", GET, post(b"a=1"), post(GET)), range(len(last))):
        desk, connection = fed([first + last[:cut], last[cut:] + rest], at_once=at_once)
        assert len(rest) - 3 <= desk.held <= len(first + last + rest), (first, cut)
        assert connection.deadline == LIMITS.header_seconds


def test_a_body_that_is_not_whole_is_held_for_the_time_of_a_body() -> None:
    for missing in (1, 900):
        desk, connection = fed([GET + post(b"x" * 900)[:-missing]], at_once=True)
        assert (desk.held >= 900 - missing > -1, connection.deadline) == (True, LIMITS.body_seconds)
        assert desk.held > len(GET)


def test_empty_lines_between_requests_are_no_beginning_of_one() -> None:
    desk, connection = fed([post(b"a=1") + b"\r\n", b"\r\n" + GET + b"\r\n"], at_once=True)
    assert (desk.held, connection.deadline, len(desk.bodies)) == (0, LIMITS.idle_seconds, 2)


@pytest.mark.parametrize(("requests", "rest"), [(100, b""), (64, b"GET /x"), (32, b"GET /x"), (31, b""), (31, b"GET")])
@pytest.mark.parametrize("request_", [GET, post(b"{}")])
def test_behind_a_full_pipeline_the_rest_is_held_too(request_: bytes, requests: int, rest: bytes) -> None:
    desk, connection = fed([request_ * requests + rest], at_once=False)
    while desk.waiting:
        desk.answer_all()
    assert (len(desk.bodies), desk.held) == (requests, len(rest))
    assert connection.deadline == (LIMITS.header_seconds if rest else LIMITS.idle_seconds)
