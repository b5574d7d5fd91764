"""The parameters of a beacon, as text still percent-encoded: found in its line, query and body, by name.

A name given twice: the first counts. Query and body are merged, the body's value winning (design section 5).
Bytes that are no UTF-8 travel as surrogates, so that %ff and %fe stay two values.
"""

from __future__ import annotations

from base64 import b64decode
from enum import StrEnum
from typing import Any

import msgspec
import orjson

from ingest.beacon import BOM, SPACES, is_whole, percent_decode
from pipeline.forms import Finder, Values

_BOM, _SPACES = BOM.decode(), SPACES.decode()
_YEAR_2100_MS = 4_102_444_800_000


class Reason(StrEnum):
    """Why a beacon could not be understood: the closed list, written beside it in `rejected`."""

    UNREADABLE_LINE = "unreadable_line"
    UNKNOWN_VERSION = "unknown_version"
    UNREADABLE_BODY = "unreadable_body"
    BAD_PARTNER = "bad_partner"
    LONG_SESSION = "long_session"
    LONG_ENTRY = "long_entry"
    FAULT = "fault"


class Rejected(Exception):
    """This beacon cannot be counted: write its line to `rejected` with the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Line(msgspec.Struct, gc=False):
    """The fields of a beacon line that carry meaning for counting; the others are skipped unread."""

    v: int
    id: str
    time: int
    address: str = ""
    path: str = ""
    query: str = ""
    query64: str = ""
    agent: str = ""
    agent64: str = ""
    type: str = ""
    body: str = ""
    body64: str = ""


_decode_line = msgspec.json.Decoder(Line).decode
_as_written = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# From here on orjson may read a whole number as a float, which many of them share.
_PRECISE = 2**63

# Of every event, in the order in which pipeline.event reads them.
BASE = (
    "eventType",
    "partnerId",
    "entryId",
    "sessionId",
    "eventIndex",
    "sessionStartTime",
    "service",
    "action",
)


def read_line(raw: bytes) -> Line:
    """Return a beacon line's fields.

    Raises:
        Rejected: it is no beacon line of this version.
    """
    try:
        line = _decode_line(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(Reason.UNREADABLE_LINE) from error
    if line.v != 1:
        raise Rejected(Reason.UNKNOWN_VERSION)
    if not 0 < line.time < _YEAR_2100_MS:
        raise Rejected(Reason.UNREADABLE_LINE)
    return line


def parameters_of(line: Line, finder: Finder) -> Values:
    """Return the finder's parameters of query and body, by the names as they are written.

    Raises:
        Rejected: the body is JSON and cannot be read, or base64 is broken.
    """
    values = finder.find(_query(line))
    if line.body or line.body64:
        body = _body_values(line.body if not line.body64 else base64_text(line.body64), line.type, finder)
        return tuple(map(body.get, finder.names, values))
    return values


def with_encoded_names(line: Line, values: Values, finder: Finder) -> Values:
    """Return the values found, and those whose names are percent-encoded in the query."""
    query = _query(line)
    if "%" not in query:
        return values
    named = _decoding_names(query)
    return tuple(named.get(name) if value is None else value for name, value in zip(finder.names, values, strict=True))


def _query(line: Line) -> str:
    return line.query if not line.query64 else base64_text(line.query64)


def decoded(value: str) -> str:
    """Return a value percent-decoded once; a byte that is no UTF-8 becomes a surrogate, so none is lost."""
    # KAVA's sessionId is guid%3Aguid: one replace is five times cheaper than the general way.
    if "%" in value:
        value = value.replace("%3A", ":")
    if "%" in value or "+" in value:
        return percent_decode(raw_bytes(value)).decode("utf-8", "surrogateescape")
    return value


def raw_bytes(value: str) -> bytes:
    """Return the bytes of a value."""
    return value.encode("utf-8", "surrogateescape")


def base64_text(base64: str) -> str:
    """Return what base64 text stands for; a byte that is no UTF-8 becomes a surrogate."""
    try:
        return b64decode(base64, validate=True).decode("utf-8", "surrogateescape")
    except ValueError as error:
        raise Rejected(Reason.UNREADABLE_LINE) from error


def _decoding_names(query: str) -> dict[str, str]:
    """Return the wanted parameters of a query whose names may be percent-encoded too."""
    values: dict[str, str] = {}
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if equals:
            values.setdefault(decoded(name), value)
    return values


def _body_values(body: str, content_type: str, finder: Finder) -> dict[str, str | None]:
    """Return the parameters of a body, values percent-encoded as in a query.

    JSON is known by its brace, whatever the header says (sendBeacon says text/plain); all else that is not
    multipart is read as a form.
    """
    text = body.removeprefix(_BOM).strip(_SPACES)
    if text.startswith(("{", "[")) or "json" in content_type.lower():
        try:
            values: Any = orjson.loads(text)
        except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
            raise Rejected(Reason.UNREADABLE_BODY) from error
        if not isinstance(values, dict):
            raise Rejected(Reason.UNREADABLE_BODY)
        said: dict[str, str | None] = {
            name: _query_text(value) for name, value in values.items() if not isinstance(value, dict | list)
        }
        if any(isinstance(value, float) and abs(value) >= _PRECISE for value in values.values()):
            said |= _whole_numbers(text)
        return said
    if "multipart/" in content_type.lower():
        return {}
    return {name: value for name, value in zip(finder.names, finder.find(text), strict=True) if value is not None}


def _whole_numbers(body: str) -> dict[str, str]:
    """Return the whole numbers of a body as they are written: two sessions must not become one, here as in ingest."""
    try:
        written = _as_written(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(Reason.UNREADABLE_BODY) from error
    return {name: raw.decode() for name, value in written.items() if is_whole(raw := bytes(value))}


def _query_text(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    # Escaped again, so that one way of decoding serves query and body.
    return text.replace("%", "%25").replace("+", "%2B")
