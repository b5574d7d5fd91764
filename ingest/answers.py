"""Every answer ingest can give, as the bytes that go out; the protocol's headers are on each of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum

ALLOW = "GET, POST, OPTIONS"
_CALLBACK = re.compile(rb"[A-Za-z_$][A-Za-z0-9_$]{0,63}")
# An answer may be kept by nobody: an identical impression URL can recur.
_EVERYWHERE = "Access-Control-Allow-Origin: *\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"


class Keep(Enum):
    """What becomes of the connection after the answer; the value is the header that says so."""

    OPEN = ""
    OPEN_10 = "Connection: keep-alive\r\n"
    CLOSE = "Connection: close\r\n"


class Refused(Enum):
    """Why a request was refused before any hand-over: its word in metrics, status line, headers."""

    UNREADABLE = ("unreadable", "400 Bad Request", "")
    BAD_ENCODING = ("bad_encoding", "400 Bad Request", "")
    UNKNOWN_PATH = ("unknown_path", "404 Not Found", "")
    METHOD = ("method", "405 Method Not Allowed", f"Allow: {ALLOW}\r\n")
    SLOW = ("slow", "408 Request Timeout", "")
    TOO_LARGE = ("too_large", "413 Content Too Large", "")
    HEADERS_TOO_LARGE = ("headers_too_large", "431 Request Header Fields Too Large", "")
    NOT_STORED = ("not_stored", "503 Service Unavailable", "Retry-After: 5\r\n")
    OVERLOADED = ("overloaded", "503 Service Unavailable", "Retry-After: 5\r\n")
    TOO_MANY_CONNECTIONS = ("too_many_connections", "503 Service Unavailable", "Retry-After: 5\r\n")

    def __init__(self, word: str, status: str, headers: str) -> None:
        self.word = word
        self.status = status
        self.headers = headers


def script_callback(value: bytes | None) -> bytes:
    """Return the callback of a JSONP request if it is a plain identifier, else b""."""
    return value if value is not None and _CALLBACK.fullmatch(value) else b""


def stored(seconds: int, callback: bytes, keep: Keep) -> bytes:
    """Return the 200 that promises a beacon is kept: the bare Unix seconds, or a script with them."""
    if callback:
        # The comment stops the answer from being read as the start of another file format.
        script = f"/**/{callback.decode()}({seconds});"
        return _answer("200 OK", seconds, keep, "application/javascript; charset=utf-8", script)
    return _answer("200 OK", seconds, keep, "text/plain; charset=utf-8", str(seconds))


def refused(reason: Refused, seconds: int, keep: Keep, *, with_body: bool = True) -> bytes:
    """Return the constant answer of a refusal; nothing of the request is repeated in it."""
    head = f"{reason.status}\r\n{reason.headers}".removesuffix("\r\n")
    text = reason.status + "\n"
    return _answer(head, seconds, keep, "text/plain; charset=utf-8", text, with_body=with_body)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer for operators."""

    status: str
    text: str
    content_type: str = "text/plain; charset=utf-8"


def page(shown: Page, seconds: int, keep: Keep, *, with_body: bool) -> bytes:
    """Return an answer for operators."""
    return _answer(shown.status, seconds, keep, shown.content_type, shown.text, with_body=with_body)


def preflight(seconds: int, keep: Keep) -> bytes:
    """Return the answer to OPTIONS: what a page may send, good for a day."""
    return (
        f"HTTP/1.1 204 No Content\r\nAllow: {ALLOW}\r\nAccess-Control-Allow-Methods: {ALLOW}\r\n"
        "Access-Control-Allow-Headers: Content-Type\r\nAccess-Control-Max-Age: 86400\r\n"
        f"{_EVERYWHERE}{keep.value}Date: {formatdate(seconds, usegmt=True)}\r\n\r\n"
    ).encode()


def _answer(head: str, seconds: int, keep: Keep, content_type: str, text: str, *, with_body: bool = True) -> bytes:
    body = text if with_body else ""
    return (
        f"HTTP/1.1 {head}\r\nContent-Type: {content_type}\r\nContent-Length: {len(text.encode())}\r\n"
        f"{_EVERYWHERE}{keep.value}Date: {formatdate(seconds, usegmt=True)}\r\n\r\n{body}"
    ).encode()
