"""Beacon lines for tests: what ingest writes, from a few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.event import Event, read_event
from tests.pipeline.meanings import Case, changed

# 2026-11-23 09:07:00 UTC: the start of a 10 s, a 1 min and no 1 h window.
NOON = 1_795_424_820
RECORDINGS = Path(__file__).parents[1] / "data" / "recorded.jsonl"


def line_of(case: Case, record_id: str = "i-1", time: int = NOON * 1000) -> bytes:
    """Return the line that ingest writes for a request of the catalogue."""
    return encode(
        Beacon(
            id=record_id,
            time=time,
            method=case.method,
            path=case.path.encode(),
            query=case.query.encode(),
            content_type=case.content_type.encode(),
            body=case.body,
        )
    )


def get_line(query: bytes | str, record_id: str = "i-1", time: int = NOON * 1000) -> bytes:
    """Return the line of a GET on index.php."""
    raw = query if isinstance(query, bytes) else query.encode()
    return encode(Beacon(record_id, time, path=b"/api_v3/index.php", query=raw))


def event_of(query: bytes | str, record_id: str = "i-1", by_pair: bool = False) -> Event:
    """Return the event of a GET on index.php with this query."""
    return read_event(get_line(query, record_id), by_pair)


def play(
    index: int | str = 1,
    *,
    session: str = "s",
    entry: str = "1_x",
    partner: str = "4242",
    kind: int = 3,
    buffer: str = "",
    time: float = NOON,
    record_id: str = "i-1",
) -> bytes:
    """Return the line of an event, a play unless `kind` says otherwise, received at `time` (Unix seconds)."""
    query = (
        f"service=analytics&action=trackEvent&eventType={kind}&partnerId={partner}&entryId={entry}"
        f"&sessionId={session}&eventIndex={index}"
    )
    if buffer:
        query += f"&bufferTime={buffer}"
    return get_line(query, record_id, round(time * 1000))


def recorded(client: str) -> list[dict[str, Any]]:
    """Return the recorded analytics requests of a client, in the order in which they came."""
    requests = map(json.loads, RECORDINGS.read_text().splitlines())
    return [
        request
        for request in requests
        if request["client"] == client and request["method"] != "OPTIONS" and "/api_v3/" in request["url"]
    ]


def recorded_line(request: dict[str, Any], number: int) -> bytes:
    """Return the line that ingest writes for a recorded request."""
    path, _, query = request["url"].partition("?")
    headers = request["headers"]
    return encode(
        Beacon(
            id=f"r-{number}",
            time=NOON * 1000 + number,
            method=request["method"],
            path=path.encode(),
            query=query.encode(),
            content_type=headers.get("content-type", "").encode(),
            body=request["body"].encode(),
        )
    )


def changed_entry(raw: bytes) -> str:
    """Return the query of a play whose entry id is these bytes."""
    return changed(entryId="".join(f"%{byte:02X}" for byte in raw))
