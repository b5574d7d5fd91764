"""The beacon line: how one beacon is written into topic `beacons`, and read from it again."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NoReturn

import msgspec

from ingest.beacon import Beacon

VERSION = 1


class UnreadableLine(Exception):
    """This line is none of ours: write it to `rejected` with the reason.

    Attributes:
        reason: not_json, unknown_version or bad_field.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Line(msgspec.Struct, omit_defaults=True):
    v: int
    id: str
    time: int
    address: str = ""
    method: str = "GET"
    path: str = ""
    path64: str = ""
    query: str = ""
    query64: str = ""
    agent: str = ""
    agent64: str = ""
    referer: str = ""
    referer64: str = ""
    type: str = ""
    type64: str = ""
    body: str = ""
    body64: str = ""


class _AnyVersion(msgspec.Struct):
    v: int


# Travel as base64: many readers end a text at NUL, and escaped each grows to six bytes, a body of them to
# more than Kafka takes. The rest at most doubles.
_CONTROL = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f]")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)
_any_version = msgspec.json.Decoder(_AnyVersion)


def encode(beacon: Beacon) -> bytes:
    """Return the beacon as one line of JSON, without a newline anywhere in it."""
    try:
        line = _Line(
            v=VERSION,
            id=beacon.id,
            time=beacon.time,
            address=beacon.address,
            method=beacon.method,
            path=beacon.path.decode(),
            query=beacon.query.decode(),
            agent=beacon.agent.decode(),
            referer=beacon.referer.decode(),
            type=beacon.content_type.decode(),
            body=beacon.body.decode(),
        )
    except UnicodeDecodeError:
        return _encode_bytes(beacon)
    encoded = _encoder.encode(line)
    return _encode_bytes(beacon) if b"\\u00" in encoded else encoded


def _encode_bytes(beacon: Beacon) -> bytes:
    line = _Line(v=VERSION, id=beacon.id, time=beacon.time, address=beacon.address, method=beacon.method)
    _put(line, "path", beacon.path)
    _put(line, "query", beacon.query)
    _put(line, "agent", beacon.agent)
    _put(line, "referer", beacon.referer)
    _put(line, "type", beacon.content_type)
    _put(line, "body", beacon.body)
    return _encoder.encode(line)


def _put(line: _Line, name: str, raw: bytes) -> None:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    if _CONTROL.search(text):
        setattr(line, name + "64", base64.b64encode(raw).decode())
    else:
        setattr(line, name, text)


def decode(line: bytes) -> Beacon:
    """Return the beacon of a line; a line of another version or shape raises UnreadableLine."""
    try:
        read = _decoder.decode(line)
        if read.v != VERSION:
            raise UnreadableLine("unknown_version")
        return Beacon(
            read.id,
            read.time,
            read.address,
            read.method,
            _bytes(read.path, read.path64),
            _bytes(read.query, read.query64),
            _bytes(read.agent, read.agent64),
            _bytes(read.referer, read.referer64),
            _bytes(read.type, read.type64),
            _bytes(read.body, read.body64),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError) as error:
        _refuse(line, error)


def _bytes(text: str, text64: str) -> bytes:
    return base64.b64decode(text64, validate=True) if text64 else text.encode()


def _refuse(line: bytes, error: Exception) -> NoReturn:
    try:
        version = _any_version.decode(line).v
    except msgspec.ValidationError:
        version = VERSION
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableLine("not_json") from error
    raise UnreadableLine("bad_field" if version == VERSION else "unknown_version") from error
