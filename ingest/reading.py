"""Makes a beacon of a whole request: its bytes as they came, and what only ingest can know about it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from aiohttp import hdrs
from aiohttp.http import RawRequestMessage

from ingest.address import Addresses
from ingest.answers import Refused
from ingest.beacon import Beacon, body_is_json

_AGENT_BYTES = 512
_GZIP = b"\x1f\x8b"
# Each costs as much as a small body; nobody's client sends more than one.
_MEMBERS = 64
# In a form body: real ones have forty, and each costs whoever reads it later.
_FIELDS = 1000


class Reading:
    """Numbers the beacons of this process and stamps them with its clock."""

    def __init__(self, addresses: Addresses, clock: Callable[[], float], boot: str, body_bytes: int) -> None:
        self._addresses = addresses
        self._clock = clock
        self._boot = boot
        self._body_bytes = body_bytes
        self._counter = 0

    def beacon(self, request: RawRequestMessage, path: str, query: str, body: bytes, peer: str) -> Beacon | Refused:
        """Return the beacon, or why it can not be stored; what it means is not looked at."""
        if body:
            plain = self._plain(request, body)
            if isinstance(plain, Refused):
                return plain
            body = plain
        headers = request.headers
        forwarded = headers.getall("X-Forwarded-For", ()) if self._addresses.use_forwarded else ()
        self._counter += 1
        return Beacon(
            f"{self._boot}-{self._counter}",
            int(self._clock() * 1000),
            self._addresses.of(peer, _header(",".join(forwarded))),
            request.method,
            path.encode(),
            _header(query.partition("#")[0] if "#" in query else query),
            _cut(_header(headers.get(hdrs.USER_AGENT)), _AGENT_BYTES),
            _header(headers.get(hdrs.REFERER)),
            _header(headers.get(hdrs.CONTENT_TYPE)),
            body,
        )

    def _plain(self, request: RawRequestMessage, body: bytes) -> bytes | Refused:
        plain = inflate(body, self._body_bytes) if request.compression in ("gzip", "deflate") else body
        if isinstance(plain, bytes) and plain.count(b"&") >= _FIELDS and not body_is_json(plain):
            return Refused.TOO_LARGE
        return plain


def inflate(body: bytes, limit: int) -> bytes | Refused:
    """Return a gzip or zlib body in the clear, if it is one and within the limit.

    A gzip body is all its members, one after another; what follows them and is none is left out, as gzip does.
    """
    plain = b""
    for _ in range(_MEMBERS):
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            plain += inflater.decompress(body, limit + 1 - len(plain))
        except zlib.error:
            return Refused.BAD_ENCODING
        if len(plain) > limit:
            return Refused.TOO_LARGE
        if not inflater.eof:
            return Refused.BAD_ENCODING
        body = inflater.unused_data
        if not body.startswith(_GZIP):
            return plain
    return Refused.BAD_ENCODING


def _header(value: str | None) -> bytes:
    # The parser kept bytes that are not UTF-8 as surrogates; this gives every byte back as it came.
    return value.encode("utf-8", "surrogateescape") if value else b""


def _cut(raw: bytes, size: int) -> bytes:
    if len(raw) <= size:
        return raw
    # Not inside a UTF-8 character, which is four bytes at most.
    for end in range(size, size - 4, -1):
        if raw[end] & 0xC0 != 0x80:
            return raw[:end]
    return raw[:size]
