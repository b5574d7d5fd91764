"""A beacon is a request as it came: its fields, its sessionId, and so its partition."""

from __future__ import annotations

import re
import zlib
from urllib.parse import unquote_to_bytes

import msgspec

BOM = b"\xef\xbb\xbf"
_SESSION = b"sessionId"
# Only a percent-encoded letter or digit can hide a parameter name, and real senders encode none of them.
_HIDDEN_NAME = re.compile(rb"%(?:3\d|4[1-9a-fA-F]|5[\daA]|6[1-9a-fA-F]|7[\daA])")


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
    """Return the decoded value of the first parameter of this name in k=v&k=v text.

    Names are compared after decoding, so `session%49d` is sessionId; `name` is letters and digits.
    """
    if _HIDDEN_NAME.search(pairs) is not None:
        return _first_value_decoding_names(pairs, name)
    at = pairs.find(name)
    while at >= 0:
        end = at + len(name)
        follower = pairs[end : end + 1]
        if (at == 0 or pairs[at - 1] == 0x26) and follower in (b"=", b"&", b""):
            if follower != b"=":
                return b""
            stop = pairs.find(b"&", end)
            return percent_decode(pairs[end + 1 :] if stop < 0 else pairs[end + 1 : stop])
        at = pairs.find(name, end)
    return None


def _first_value_decoding_names(pairs: bytes, name: bytes) -> bytes | None:
    for pair in pairs.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name or percent_decode(key) == name:
            return percent_decode(value)
    return None


def body_is_json(body: bytes) -> bool:
    """Tell whether a body is meant as JSON, by its first character: browsers label JSON as they like."""
    return body.removeprefix(BOM).lstrip(b" \t\r\n")[:1] in (b"{", b"[")


def session_of(beacon: Beacon) -> bytes:
    """Return the decoded sessionId; the body's value wins over the query's; b"" if there is none."""
    if beacon.body:
        found = _session_in_body(beacon.body)
        if found is not None:
            return found
    return first_value(beacon.query, _SESSION) or b""


def _session_in_body(body: bytes) -> bytes | None:
    if not body_is_json(body):
        return first_value(body, _SESSION)
    try:
        raw = bytes(_json_session.decode(body.removeprefix(BOM)).sessionId)
        if not raw:
            return None
        return str(msgspec.json.decode(raw)).encode() if raw.startswith(b'"') else raw
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The body stays stored as it came; the pipeline says what is wrong with it.
        return None


def partition_of(beacon: Beacon, partitions: int) -> int:
    """Return the partition of `beacons` for this one, so that a session is judged in one place."""
    return zlib.crc32(session_of(beacon) or beacon.id.encode()) % partitions
