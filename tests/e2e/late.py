"""An hour of requests on the disk of an ingest that had no Kafka meanwhile, in the files that ingest itself writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ingest.beacon import Beacon, partition_of
from ingest.machine import claim_folder
from ingest.segments import Segments
from ingest.wire import encode
from tests.e2e.commands import PARTITIONS
from tests.e2e.traffic import Request

A_PACK = 20
SEGMENT_BYTES = 1 << 26  # all of it: one file


def spool(root: Path, requests: Sequence[Request], since_ms: int, until_ms: int) -> None:
    """Leave a spool behind whose beacons an ingest that is no more received evenly over [since, until), Unix ms.

    Some of its packs lie there twice, as they come to Kafka twice where a drain was interrupted.
    """
    folder = claim_folder(root, "ingest")
    segments = Segments(folder.path, SEGMENT_BYTES)
    waiting: dict[int, list[Beacon]] = {}
    for number, request in enumerate(requests):
        beacon = Beacon(
            f"{folder.ingest_id('late')}-{number}",
            since_ms + (until_ms - since_ms) * number // len(requests),
            "203.0.113.0",
            request.method,
            b"/api_v3/index.php",
            request.query.encode(),
            request.agent.encode(),
            content_type=request.type.encode(),
            body=request.body.encode(),
        )
        pack = waiting.setdefault(partition_of(beacon, PARTITIONS), [])
        pack.append(beacon)
        if len(pack) == A_PACK:
            _append(segments, pack, times=2 if number % 5 == 0 else 1)
            pack.clear()
    for pack in waiting.values():
        _append(segments, pack)
    if (written := segments.oldest()) is not None:
        segments.seal(written)
    folder.release()


def _append(segments: Segments, pack: list[Beacon], times: int = 1) -> None:
    if pack:
        value = b"\n".join(encode(beacon) for beacon in pack)
        segments.append([(pack[-1].time, partition_of(pack[0], PARTITIONS), len(pack), value)] * times)
