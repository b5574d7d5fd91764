"""A beacon is a request as it came: its fields, its sessionId, and so its partition."""

from __future__ import annotations

import zlib
from urllib.parse import unquote_to_bytes

import msgspec
import orjson

BOM = b"\xef\xbb\xbf"
# Around a body, in JSON and in forms; no others, so that ingest and worker read one session.
SPACES = b" \t\r\n"
_SESSION = b"sessionId"


class Beacon(msgspec.Struct, frozen=True):
    """A request as it came, byte for byte, with what only ingest can know about it.

    A msgspec Struct where other values here are dataclasses: one is built per request, five times cheaper.

    Attributes:
        id: the record id, unique over restarts; a beacon that reaches Kafka twice keeps it.
        time: receive time, Unix milliseconds by ingest's clock; windows go by it.
        address: the client's address, cut to its network unless configured otherwise; "" if unknown.
        method: GET or POST.
        path: as it came, without the query.
        query: as it came, without the question mark.
        agent: the User-Agent header, at most 512 bytes.
        referer: the Referer header.
        content_type: the Content-Type header.
        body: as it came, after removal of chunking and gzip.
    """

    id: str
    time: int
    address: str = ""
    method: str = "GET"
    path: bytes = b""
    query: bytes = b""
    agent: bytes = b""
    referer: bytes = b""
    content_type: bytes = b""
    body: bytes = b""


class _JsonSession(msgspec.Struct):
    sessionId: msgspec.Raw = msgspec.Raw(b"")  # noqa: N815


_json_session = msgspec.json.Decoder(_JsonSession)


def percent_decode(raw: bytes) -> bytes:
    """Return the text decoded once: + is a space, an escape that is none stays as it is."""
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return unquote_to_bytes(raw) if b"%" in raw else raw


def first_value(pairs: bytes, name: bytes) -> bytes | None:
    """Return the decoded value of the first parameter of this name in k=v&k=v text; None if there is none.

    A name as it is written goes before one that is percent-encoded (`session%49d`), and a name without = is none:
    so the worker reads them too, and a session is judged where its beacons are. `name` is letters and digits.
    """
    found = _written_value(pairs, name)
    return _encoded_value(pairs, name) if found is None and b"%" in pairs else found


def _written_value(pairs: bytes, name: bytes) -> bytes | None:
    start = name + b"="
    at = pairs.find(start)
    while at > 0 and pairs[at - 1] != 0x26:
        at = pairs.find(start, at + 1)
    if at < 0:
        return None
    begin = at + len(start)
    end = pairs.find(b"&", begin)
    return percent_decode(pairs[begin:] if end < 0 else pairs[begin:end])


def _encoded_value(pairs: bytes, name: bytes) -> bytes | None:
    for pair in pairs.split(b"&"):
        key, equals, value = pair.partition(b"=")
        if equals and percent_decode(key) == name:
            return percent_decode(value)
    return None


def body_is_json(body: bytes) -> bool:
    """Tell whether a body is meant as JSON, by its first character: browsers label JSON as they like."""
    return body.removeprefix(BOM).lstrip(SPACES)[:1] in (b"{", b"[")


def session_of(beacon: Beacon) -> bytes:
    """Return the decoded sessionId; the body's value wins over the query's; b"" if there is none."""
    if beacon.body:
        found = _session_in_body(beacon)
        if found is not None:
            return found
    return first_value(beacon.query, _SESSION) or b""


def _session_in_body(beacon: Beacon) -> bytes | None:
    body = beacon.body
    if not body_is_json(body):
        if b"multipart/" in beacon.content_type.lower():
            return None
        # Names are decoded in queries only.
        return _written_value(body.removeprefix(BOM).strip(SPACES), _SESSION)
    return _session_in_json(body.removeprefix(BOM))


def _session_in_json(body: bytes) -> bytes | None:
    try:
        raw = bytes(_json_session.decode(body).sessionId)
        if not raw or raw.startswith((b"{", b"[")):
            return None
        if raw.startswith(b'"'):
            return str(msgspec.json.decode(raw)).encode()
        # Of other numbers one is written in several ways: as the worker writes it.
        return raw if is_whole(raw) else orjson.dumps(orjson.loads(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, orjson.JSONDecodeError):
        # The body stays stored as it came; the pipeline says what is wrong with it.
        return None
    except RecursionError:
        return _session_in_nested(body)


def _session_in_nested(body: bytes) -> bytes | None:
    """Read a body nested deeper than msgspec goes, which depends on who calls it, as the worker does."""
    try:
        value = orjson.loads(body)["sessionId"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    if isinstance(value, dict | list):
        return None
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def is_whole(number: bytes) -> bool:
    """Tell whether this JSON value is a whole number in its only form: its digits count, however many."""
    return number.removeprefix(b"-").isdigit() and number != b"-0"


def partition_of(beacon: Beacon, partitions: int) -> int:
    """Return the partition of `beacons` for this one, so that a session is judged in one place."""
    return zlib.crc32(session_of(beacon) or beacon.id.encode()) % partitions
