"""The job's beacons, made from a seed: lines in the wire format, in order of receive time, with the true counts.

The job: 100,000 sessions, each seen 6 times = 600,000 beacons; 20,000 entries with a long tail (Zipf); 50 partners.
"Seen 6 times" is what a viewer of half a minute sends: impression, play request, play, view at once, view after 11 s
and after 21 s (as recorded from real players). In 40 % of the sessions the last view is missing and one of the five
other beacons comes twice, byte for byte, within two seconds: a browser's re-send. So every session sends six, and
6.7 % of all beacons are true duplicates.

The query strings are shaped like the recorded ones (470 to 690 characters, 590 on average). Receive times run at
`per_second` beacons a second, so 600,000 at 3,000 a second cross twenty 10 s windows and touch about 120,000 rows.
"""

from __future__ import annotations

import heapq
import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

RESENDS = 0.4
STEPS = ((1, 0), (2, 40), (3, 300), (99, 320), (99, 11_000), (99, 21_000))
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605",
)

Counts = dict[tuple[str, str, int], list[int]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the beacons of a job look like; the same shape and start give the same bytes."""

    sessions: int = 100_000
    entries: int = 20_000
    partners: int = 50
    per_second: int = 3_000
    start_ms: int = 1_795_420_800_000
    seed: int = 7

    @property
    def beacons(self) -> int:
        return self.sessions * len(STEPS)


@dataclass(frozen=True, slots=True)
class Sent:
    """One beacon: its line, where it goes, and what a correct count of it is."""

    line: bytes
    time: int
    session: str
    partner: str
    entry: str
    type: int
    buffer_ms: int
    repeated: bool


def beacons(shape: Shape) -> Iterator[Sent]:
    """Yield the beacons in order of receive time."""
    draw = random.Random(shape.seed)
    weights = list(accumulate(1 / (rank + 8) for rank in range(shape.entries)))
    waiting: list[tuple[int, int, int, str, str, int, bool]] = []
    every_ms = 1000 * len(STEPS) / shape.per_second
    number = 0
    for index in range(shape.sessions):
        began = shape.start_ms + int(index * every_ms)
        while waiting and waiting[0][0] <= began:
            yield _sent(heapq.heappop(waiting))
        rank = draw.choices(range(shape.entries), cum_weights=weights)[0]
        session = f"{_guid(draw)}%3A{_guid(draw)}"
        for time, step, repeated in _session(draw, began):
            number += 1
            heapq.heappush(waiting, (time, number, step, session, *_media(rank, shape), repeated))  # type: ignore[arg-type]
    while waiting:
        yield _sent(heapq.heappop(waiting))


def _media(rank: int, shape: Shape) -> tuple[str, str]:
    return str(1000 + rank % shape.partners), f"1_{zlib.crc32(b'%d' % rank):08x}{rank:05d}"


def _session(draw: random.Random, began: int) -> list[tuple[int, int, bool]]:
    sends = [(began + after, step, False) for step, (_, after) in enumerate(STEPS)]
    if draw.random() < RESENDS:
        first = sends[draw.randrange(len(STEPS) - 1)]
        sends[-1] = (first[0] + draw.randrange(5, 2000), first[1], True)
    return sends


def _guid(draw: random.Random) -> str:
    text = f"{draw.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _sent(waiting: tuple[int, int, int, str, str, str, bool]) -> Sent:
    time, number, step, session, partner, entry, repeated = waiting
    query, event_type, buffer_ms = query_of(step, session, partner, entry)
    # A viewer keeps browser and network for as long as the session lasts.
    viewer = zlib.crc32(session.encode(), 1)
    line = (
        f'{{"v":1,"id":"bench-{number}","time":{time},"address":"203.0.{viewer >> 8 & 255}.0",'
        f'"path":"/api_v3/index.php","query":"{query}","agent":"{AGENTS[viewer & 3]}",'
        f'"referer":"https://video.example/"}}'
    )
    return Sent(line.encode(), time, session, partner, entry, event_type, buffer_ms, repeated)


def query_of(step: int, session: str, partner: str, entry: str) -> tuple[str, int, int]:
    """Return the query string, the event type and the buffer time (ms) of one step of a session."""
    event_type = STEPS[step][0]
    mixed = zlib.crc32(session.encode())
    buffer_ms = mixed * (step + 1) % 2500 if event_type == 99 and mixed & 3 == 0 else 0
    began = 1_795_420_800 + mixed % 86_400
    measured = ""
    if event_type == 3:
        measured = (
            f"&bufferTime=0.{mixed % 1000:03d}&bufferTimeSum=0.{mixed % 1000:03d}&actualBitrate=1128"
            "&joinTime=0.312&canPlay=0.178&networkConnectionType=4g"
        )
    elif event_type == 99:
        measured = (
            f"&playTimeSum={STEPS[step][1] / 1000}&bufferTime={buffer_ms / 1000}&bufferTimeSum={buffer_ms / 1000}"
            "&actualBitrate=1128&averageBitrate=1104&audioLanguage=en&captionsLanguage=&soundMode=1&tabMode=2"
            "&playbackSpeed=1&droppedFramesRatio=0&networkConnectionType=4g"
        )
    answered = "" if step == 0 else f"&sessionStartTime={began}"
    query = (
        f"service=analytics&action=trackEvent&apiVersion=3.3.0&format=1{measured}&eventType={event_type}"
        f"&partnerId={partner}&entryId={entry}&sessionId={session}&eventIndex={step + 1}"
        "&referrer=https%3A%2F%2Fvideo.example%2Fwatch%2Fplayer.html%3Ffrom%3Dfront%2520page%23top&deliveryType=hls"
        f"&playbackType=vod&clientVer=3.17.95&clientTag=html5%3Av3.17.95&position={STEPS[step][1] / 1000}{answered}"
        f"&ks=cmN8NDI0Mjs0MjQyO3dpZGdldDoxLHZpZXc6Kg%3D%3D&uiConfId=23521211&customVar1=c{mixed % 97}"
    )
    return query, event_type, buffer_ms


def partition_of(sent: Sent, partitions: int) -> int:
    """Return the partition as ingest chooses it: CRC-32 of the decoded session id."""
    return zlib.crc32(sent.session.replace("%3A", ":").encode()) % partitions


def count(counts: Counts, sent: Sent) -> None:
    """Add one beacon to plays, views and buffer time of its (partner, entry, 10 s window)."""
    if sent.type in (3, 99):
        row = counts.setdefault((sent.partner, sent.entry, sent.time // 10_000 * 10), [0, 0, 0])
        row[sent.type == 99] += 1
        row[2] += sent.buffer_ms


def dump(counts: Counts) -> bytes:
    """Return counts as JSON: {"partner|entry|start": [plays, views, buffer ms]}, as every peer writes them."""
    return json.dumps({"|".join(map(str, key)): row for key, row in sorted(counts.items())}).encode()
