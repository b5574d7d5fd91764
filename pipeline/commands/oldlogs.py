"""Lines of old logs as beacons: ours, NDJSON of others, web-server access logs (combined format). Pure.

A line's own time is the beacon's receive time. Its record id is a digest of the line and of how often it came
before in the same file: the same file, or one that overlaps it, gives the same ids again.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

import orjson

from ingest.beacon import Beacon
from ingest.wire import UnreadableLine, decode, encode
from pipeline.commands.times import MOST_SECONDS

BEACON_PATHS = frozenset({"/api_v3/index.php", "/collect"})
MOST_AGENT = 512
# A client of Kafka puts 1,000,000 bytes in a record, less what frames them.
MOST_LINE_BYTES = 999_000
# A receive time is of a server that ran: none is before 1970, or of the year 2200.
END_MS = 7_258_118_400_000
_COMBINED = re.compile(
    rb'(?P<address>\S+) \S+ .+? \[(?P<time>[^]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) \S+'
    rb'(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?'
)
# What nginx and Apache write in place of a byte that is no plain text.
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v"}
_MONTHS = {name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_CLOCK = re.compile(rb"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")


class NoBeacon(Exception):
    """This line is readable and holds no beacon: another request, or one that was refused."""


class Unreadable(Exception):
    """This line is of no format that is known here."""


@dataclass(slots=True)
class LogReader:
    """Reads the lines of one file, in order: how often a line came before is part of its id."""

    _came: Counter[bytes] = field(default_factory=Counter)

    def read(self, line: bytes) -> tuple[Beacon, bytes]:
        """Return a line's beacon, and its beacon line.

        Raises:
            NoBeacon: it holds none.
            Unreadable: it is of no known format, of no time that can be, or more than Kafka takes.
        """
        beacon, ours = self._read(line)
        if not 0 < beacon.time < END_MS:
            raise Unreadable("no usable time")
        if len(ours) > MOST_LINE_BYTES:
            raise Unreadable("too long")
        return beacon, ours

    def _read(self, line: bytes) -> tuple[Beacon, bytes]:
        if not line.startswith(b"{"):
            beacon = access_log_beacon(line, self._id(line))
            return beacon, encode(beacon)
        try:
            words = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Unreadable(str(error)) from error
        if "v" in words:
            try:
                return decode(line), line
            except UnreadableLine as error:
                raise Unreadable(error.reason) from error
        beacon = json_beacon(words, self._id(line))
        return beacon, encode(beacon)

    def _id(self, line: bytes) -> str:
        digest = sha256(line).digest()[:16]
        self._came[digest] += 1
        return record_id(line, self._came[digest])


def record_id(line: bytes, occurrence: int) -> str:
    """Return the record id of a line that comes for the n-th time in its file."""
    return "import-" + sha256(b"%d\n%b" % (occurrence, line)).hexdigest()[:32]


def access_log_beacon(line: bytes, id_: str) -> Beacon:
    """Return the beacon of a line in combined (or common) log format."""
    found = _COMBINED.match(line)
    if found is None:
        raise Unreadable("neither JSON nor combined log format")
    time_ms = _time_of(found["time"])
    parts = _unescaped(found["request"]).split(b" ")
    if len(parts) != 3 or parts[0] not in (b"GET", b"POST"):
        raise NoBeacon("another method, or no HTTP")
    path, _, query = parts[1].partition(b"?")
    if path.decode("latin-1") not in BEACON_PATHS:
        raise NoBeacon("another path")
    if found["status"][:1] not in (b"2", b"3"):
        raise NoBeacon("refused")
    return Beacon(
        id_,
        time_ms,
        cut(found["address"].decode("latin-1")),
        parts[0].decode(),
        path,
        query,
        _header(found["agent"])[:MOST_AGENT],
        _header(found["referer"]),
    )


def json_beacon(words: Any, id_: str) -> Beacon:
    """Return the beacon of a JSON object: time and query, and where known path, method, address, agent, referer."""
    try:
        texts = {name: words.get(name, "") for name in ("address", "method", "path", "query", "agent", "referer")}
        texts |= {name: words.get(name, "") for name in ("type", "body")}
        if not all(type(text) is str for text in texts.values()):
            raise Unreadable("a field is no text")
        time_ms = _json_time(words["time"])
        raw = {name: text.encode() for name, text in texts.items()}
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise Unreadable(f"no usable {error}") from error
    if not raw["query"] and not raw["body"]:
        raise NoBeacon("neither query nor body")
    return Beacon(
        id_,
        time_ms,
        cut(texts["address"]),
        texts["method"] or "GET",
        raw["path"] or b"/api_v3/index.php",
        raw["query"].removeprefix(b"?"),
        raw["agent"][:MOST_AGENT],
        raw["referer"],
        raw["type"],
        raw["body"],
    )


def _json_time(value: Any) -> int:
    """Return Unix ms from Unix seconds (a fraction is kept), Unix ms (above 10^11), or ISO 8601."""
    if isinstance(value, str):
        if not (value.isdigit() and value.isascii()):
            return _iso_ms(value)
        value = int(value)
    if isinstance(value, bool) or not 0 < value < MOST_SECONDS * 1000:
        raise ValueError("time")
    return int(value) if value > MOST_SECONDS else round(value * 1000)


def _iso_ms(text: str) -> int:
    instant = datetime.fromisoformat(text)
    return round((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000)


def _time_of(text: bytes) -> int:
    """Return Unix ms of `23/Nov/2026:10:00:00 +0100`, whatever the locale."""
    found = _CLOCK.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        raise Unreadable("no usable time")
    day, year, hour, minute, second = (int(found[group]) for group in (1, 3, 4, 5, 6))
    ahead_s = (int(found[8]) * 60 + int(found[9])) * 60 * (-1 if found[7] == b"-" else 1)
    try:
        local = datetime(year, _MONTHS[found[2]], day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError as error:
        raise Unreadable("no usable time") from error
    return (int(local.timestamp()) - ahead_s) * 1000


def _unescaped(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    return _ESCAPE.sub(
        lambda found: bytes.fromhex(found[1][1:].decode()) if len(found[1]) == 3 else _ESCAPED.get(found[1], found[1]),
        text,
    )


def _header(text: bytes | None) -> bytes:
    return b"" if text in (None, b"-") else _unescaped(text or b"")


def cut(address: str) -> str:
    """Return an address cut to its network (/24, /48), as ingest keeps it; "" if it is none."""
    try:
        whole = ip_address(address)
    except ValueError:
        return ""
    return str(ip_network((whole, 24 if whole.version == 4 else 48), strict=False).network_address)
