"""What is fuzzed: each target takes any bytes, and raises where a promise about them does not hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import orjson
from xxhash import xxh3_128_digest

from ingest.beacon import Beacon, partition_of, session_of
from ingest.frames import Frame, pack_frame, read_frames
from ingest.wire import UnreadableLine, decode, encode
from pipeline.batch import Position
from pipeline.catalog import METRICS, SETS, WINDOWS
from pipeline.config import WorkerSettings
from pipeline.enrich.enrichers import Enrichers
from pipeline.event import NO_SESSION, Event
from pipeline.parameters import Reason
from pipeline.partition import Partition, Pending
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.line.catalogue import CASES
from tests.pipeline.lines import NOON, RECORDINGS, get_line, play

PARTITIONS = 8
FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"
_KINDS = {
    0x47: b"",
    0x46: FORM,
    0x4A: JSON,
    0x54: b"text/plain;charset=UTF-8",
    0x4D: b"multipart/form-data; boundary=x",
}
_RULES = Rules(Shape.of(WINDOWS, SETS), METRICS, Enrichers(WorkerSettings()))
# Reading touches neither the store nor the rows.
_PARTITION = Partition(0, cast(Any, None), _RULES, Position())
_NEIGHBOURS = (play(1, session="before"), play(1, session="behind"))


def events_of(value: bytes) -> tuple[list[Event], list[str], dict[str, int]]:
    """Return what a worker reads in one record: events, reasons of dead letters, and its ledger."""
    events: list[tuple[int, Event]] = []
    _PARTITION._pending = Pending()
    _PARTITION._read(0, value, events)
    reasons = [reason.decode() for reason, _ in _PARTITION._pending.dead]
    return [event for _, event in events], reasons, _PARTITION._pending.ledger


def line(data: bytes) -> None:
    """Any bytes as a line of a record: understood or a dead letter, never a fault, its neighbours unharmed."""
    events, reasons, ledger = events_of(b"\n".join((_NEIGHBOURS[0], data, _NEIGHBOURS[1])))
    lines = data.count(b"\n") + 3
    assert len(events) + len(reasons) == ledger["beacons"] == lines, "a line is neither event nor dead letter"
    assert Reason.FAULT not in reasons, "the reader trips"
    whole = [events_of(one)[0][0] for one in _NEIGHBOURS]
    assert [events[0], events[-1]] == whole, "a neighbour is another one"
    try:
        beacon = decode(data)
    except UnreadableLine:
        return
    assert decode(encode(beacon)) == beacon, "a line that can be read says something else when written again"


def request(data: bytes) -> None:
    """Any query and body: stored as they came, understood or dead, judged where the session's others are."""
    kind, _, rest = data[:1], b"", data[1:]
    query, _, body = rest.partition(b"\n")
    content_type = _KINDS.get(kind[0], b"") if kind else b""
    beacon = Beacon("i-1", NOON * 1000, path=b"/api_v3/index.php", query=query, content_type=content_type, body=body)
    stored = encode(beacon)
    assert b"\n" not in stored, "a line holds a newline"
    assert decode(stored) == beacon, "what is stored is not what came"
    assert 0 <= partition_of(beacon, PARTITIONS) < PARTITIONS
    events, reasons, _ = events_of(stored)
    assert len(events) + len(reasons) == 1, "one request is not one beacon"
    assert Reason.FAULT not in reasons, "the reader trips"
    for event in events:
        assert all(orjson.loads(value) is not None for value in event.values), "a dimension's value is no JSON"
        assert all(0 <= amount < 2**53 for amount in event.amounts.values()), "an amount is out of bounds"
        if event.session != NO_SESSION:
            session = f"{event.partner}\0".encode() + session_of(beacon)
            assert event.session == xxh3_128_digest(session)[:8], "ingest and worker read two sessions"


def spool(data: bytes) -> None:
    """Any bytes before, between and behind good frames: each good frame is read, once, and no other beacon."""
    first, second = Frame(1, 1000, 0, 1, b"line 1"), Frame(2, 1001, 7, 2, b"line 2\nline 3")
    at = data[0] % (len(data) + 1) if data else 0
    parts = (pack_frame(first), data[:at], pack_frame(second), data[at:])
    reading = read_frames(b"".join(parts))
    good = [frame for frame in reading.frames if frame in (first, second)]
    assert good[:1] == [first], "a good frame at the front is lost"
    # A frame that the bytes themselves hold may have a higher sequence, or reach over the second one.
    foreign = [frame for frame in reading.frames if frame not in (first, second)]
    assert foreign or good == [first, second], "a good frame is lost"
    assert [frame.sequence for frame in reading.frames] == sorted({frame.sequence for frame in reading.frames})
    for frame in foreign:
        assert pack_frame(frame) in data or pack_frame(frame) in b"".join(parts), "a frame that nobody wrote"


TARGETS: dict[str, Callable[[bytes], None]] = {"line": line, "request": request, "spool": spool}


def seeds(target: str) -> Iterator[bytes]:
    """Yield inputs to begin with: real requests and the catalogue of bad ones."""
    if target == "spool":
        yield from (b"", pack_frame(Frame(3, 1002, 1, 1, b"line 4")), pack_frame(Frame(9, 1, 0, 1, b""))[:-3])
        return
    letters = {content_type: bytes([letter]) for letter, content_type in _KINDS.items()}
    for text in RECORDINGS.read_text().splitlines():
        recorded = orjson.loads(text)
        query, body = recorded["url"].partition("?")[2].encode(), (recorded.get("body") or "").encode()
        wanted = JSON if body[:1] == b"{" else FORM if body else b""
        yield letters[wanted] + query + b"\n" + body if target == "request" else get_line(query)
    for case in CASES:
        for raw in case.requests:
            head, _, body = raw.partition(b"\r\n\r\n")
            query = head.split(b"\r\n")[0].partition(b"?")[2].rpartition(b" ")[0]
            if target == "request" and len(raw) < 5000:
                yield letters[FORM if body and body[:1] != b"{" else JSON if body else b""] + query + b"\n" + body


# A rejected beacon is what a fuzzer asks for: one line a run is enough.
logging.getLogger("pipeline.partition").setLevel(logging.CRITICAL)
