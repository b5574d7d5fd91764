"""A plan of traffic drawn from a seed: sessions of players; an entry's id says what will be counted for it.

An entry `1_7p12v80b3450` (the seventh) gets 12 plays, 80 views and 3,450 ms of buffer time: any report can be
checked against the id alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote
from zlib import crc32

PARTNERS = ("101", "202", "303")
# What a viewer has for as long as the session lasts: browser, site, kind of playback.
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 9.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/9.0 TV Safari/538.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)
SITES = ("https://Video.example/watch?v=1", "http://news.example/", "https://school.example/lesson/2#top", "")
PLAYBACK = ("vod", "vod", "live", "dvr")
START_UP = (1, 2, 3, 99)
WATCHED = (99, 99, 99, 99, 99, 99, 99, 33, 4, 11, 12, 35, 34, 13, 14, 22, 98, 10002)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a player."""

    method: str
    query: str
    body: str = ""
    type: str = ""
    agent: str = ""

    @property
    def wire(self) -> bytes:
        """What goes over the wire."""
        typed = f"Content-Type: {self.type}\r\nContent-Length: {len(self.body)}\r\n" if self.type else ""
        typed += f"User-Agent: {self.agent}\r\n" if self.agent else ""
        head = f"{self.method} /api_v3/index.php?{self.query} HTTP/1.1\r\nHost: ingest.test\r\n{typed}\r\n"
        return (head + self.body).encode()

    @property
    def key(self) -> tuple[bytes, bytes]:
        """What tells this request from every other one that is no re-send of it."""
        return self.query.encode(), self.body.encode()


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a session, before its entry has a name."""

    entry: int
    partner: str
    session: str
    index: int
    type: int
    start: int
    buffer_ms: int


def traffic(seed: int, beacons: int, resend_share: float = 0.1, entries: int = 40) -> list[Request]:
    """Return this many beacons of interleaved sessions, and the re-sends of some, in order of sending."""
    draw = random.Random(seed)
    events = _interleaved(draw, beacons, entries)
    names = _names(events, entries)
    requests = [_request(draw, event, names[event.entry]) for event in events]
    places = [(float(place), request) for place, request in enumerate(requests)]
    again = draw.sample(places, int(len(places) * resend_share))
    # A browser sends again at once, a proxy or a spool seconds later.
    places += [(place + draw.choice((0.5, draw.uniform(0, beacons / 10))), request) for place, request in again]
    return [request for _, request in sorted(places, key=lambda place: place[0])]


def _interleaved(draw: random.Random, beacons: int, entries: int) -> list[Event]:
    """Return the events of as many sessions as are needed, each session in order, mixed with the others."""
    weights = [1 / (rank + 1) for rank in range(entries)]
    timed: list[tuple[float, Event]] = []
    number = 0
    while len(timed) < beacons:
        number += 1
        entry = draw.choices(range(entries), weights)[0]
        at = draw.random()
        for event in _session(draw, f"s{number}-{draw.getrandbits(32):08x}:m", entry):
            timed.append((at, event))
            at += draw.uniform(0, 0.02)
    timed.sort(key=lambda pair: pair[0])
    return [event for _, event in timed[:beacons]]


def _session(draw: random.Random, session: str, entry: int) -> Iterator[Event]:
    index, start = 0, 1_795_000_000 + draw.randrange(10_000)
    for kind in (*START_UP, *draw.choices(WATCHED, k=draw.randrange(2, 25))):
        index += 1
        if kind == 4 and draw.random() < 0.5:
            # After a pause of over 30 s the player counts from 1 again, under the same sessionId.
            index, start = 1, start + 60
        buffer_ms = draw.choice((0, 0, draw.randrange(1, 9000))) if kind in (3, 4, 99) else 0
        yield Event(entry, PARTNERS[entry % len(PARTNERS)], session, index, kind, start, buffer_ms)


def _names(events: list[Event], entries: int) -> list[str]:
    """Return the entries' ids: number, plays, views, buffer time."""
    plays, views, buffer_ms = [0] * entries, [0] * entries, [0] * entries
    for event in set(events):
        plays[event.entry] += event.type == 3
        views[event.entry] += event.type == 99
        buffer_ms[event.entry] += event.buffer_ms if event.type == 99 else 0
    return [f"1_{n}p{plays[n]}v{views[n]}b{buffer_ms[n]}" for n in range(entries)]


def promised(entry: str) -> tuple[int, int, int]:
    """Return the plays, views and milliseconds of buffer time that an entry's id tells."""
    plays, _, rest = entry.partition("p")[2].partition("v")
    views, _, buffer_ms = rest.partition("b")
    return int(plays), int(views), int(buffer_ms)


def _request(draw: random.Random, event: Event, entry: str) -> Request:
    addressed = {
        "service": "analytics",
        "action": "trackEvent",
        "eventType": event.type,
        "partnerId": event.partner,
        "entryId": entry,
        "sessionId": event.session,
    }
    viewer = crc32(event.session.encode())
    agent = AGENTS[viewer % len(AGENTS)]
    told = {
        "eventIndex": event.index,
        "sessionStartTime": event.start,
        "position": event.index * 1.5,
        "playTimeSum": event.index * 1.5,
        "referrer": SITES[viewer // 8 % len(SITES)],
        "playbackType": PLAYBACK[viewer // 64 % len(PLAYBACK)],
    }
    if event.buffer_ms:
        told["bufferTime"] = event.buffer_ms / 1000
    way = draw.random()
    if way < 0.7:
        return Request("GET", _query(addressed | told), agent=agent)
    if way < 0.9:
        return Request("POST", _query(addressed), json.dumps(told), "application/json", agent)
    rest = {name: value for name, value in addressed.items() if name != "service"} | told
    return Request("POST", "service=analytics", _query(rest), "application/x-www-form-urlencoded", agent)


def _query(parameters: dict[str, object]) -> str:
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
