"""What a rebuild carries over: rows and marks of beacons that topic `beacons` no longer has.

A row is carried with the offset that it includes, so the worker that counts the beacons again adds only what
comes after it; a mark with the place of its first sighting, so that only a repeat is one. Both are the worker's
own rules for a torn checkpoint (pipeline.tail), which is why no event is counted twice or lost. What is kept of
a session is not carried, for it includes the beacons that are counted again: a session that is older than the log
is a new one to what follows.
"""

from __future__ import annotations

import gzip
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from pipeline.batch import MARKS_PER_RECORD, Mark, is_position_key, offset_of, pack_marks, unpack_seen
from pipeline.commands.broker import Broker, Offsets, asking
from pipeline.commands.progress import Progress
from pipeline.commands.putting import NotTaken
from pipeline.windows import row_offset

# How far ingest's clock may be ahead of the broker's.
SLACK_S = 600
_MADE_FROM = "madeFrom"


@dataclass(frozen=True, slots=True)
class Carried:
    """A record for a state topic: `windows` or `seen`."""

    topic: str
    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """What carried records were made from.

    Attributes:
        windows_id: id of the topic `windows` that had them.
        starts: of topic `beacons`: what lies before is in the carried records.
    """

    windows_id: str
    starts: Offsets


def to_carry(broker: Broker, starts: Offsets) -> list[Carried]:
    """Return the rows and marks that beacons, which begins so, can no longer give; none while it is whole."""
    gone = {part: offset for part, offset in starts.items() if offset > 0}
    return [*_rows(broker, gone), *_marks(broker, gone)]


def _rows(broker: Broker, gone: Offsets) -> list[Carried]:
    cut_s = _cut_seconds(broker, gone)
    topic = broker.topics.windows
    begin, end = broker.starts(topic), broker.ends(topic, committed=True)
    begin = {part: offset for part, offset in begin.items() if part in gone}
    rows: dict[tuple[int, bytes], bytes] = {}
    with Progress("reading windows", begin, end) as progress:
        for messages in broker.read(topic, begin, end):
            for message in messages:
                place = (message.partition(), message.key())
                if is_position_key(message.key()) or orjson.loads(message.key())["start"] > cut_s[message.partition()]:
                    continue
                if message.value() is None:
                    rows.pop(place, None)
                else:
                    rows[place] = message.value()
            progress.read(messages)
    carried = [Carried("windows", part, key, value) for (part, key), value in rows.items()]
    return sorted(carried, key=lambda row: row_offset(row.value))


def _cut_seconds(broker: Broker, gone: Offsets) -> dict[int, float]:
    """Return per partition the start of the youngest window that may hold a beacon that is gone, Unix seconds."""
    cut_s = dict.fromkeys(gone, float("inf"))
    ends = broker.ends(broker.topics.beacons)
    first = {part: offset for part, offset in gone.items() if offset < ends[part]}
    for messages in broker.read(broker.topics.beacons, first, {part: at + 1 for part, at in first.items()}):
        for message in messages:
            cut_s[message.partition()] = message.timestamp()[1] / 1000 + SLACK_S
    return cut_s


def _marks(broker: Broker, gone: Offsets) -> Iterator[Carried]:
    topic = broker.topics.seen
    begin, end = broker.starts(topic), broker.ends(topic, committed=True)
    marks: dict[int, list[Mark]] = {part: [] for part in gone}
    begin = {part: offset for part, offset in begin.items() if part in gone}
    with Progress("reading marks", begin, end) as progress:
        for messages in broker.read(topic, begin, end):
            for message in messages:
                part = message.partition()
                found, _ = unpack_seen(message.value())
                marks[part] += (mark for mark in found if offset_of(mark[1]) < gone[part])
            progress.read(messages)
    for part, kept in marks.items():
        for start in range(0, len(kept), MARKS_PER_RECORD):
            yield Carried("seen", part, b"carried", pack_marks(kept[start : start + MARKS_PER_RECORD]))


def carry(broker: Broker, carried: Iterable[Carried]) -> None:
    """Write carried records into the state topics of a line that no worker counts yet.

    Raises:
        NotTaken: Kafka did not take all of them.
    """
    names = {"windows": broker.topics.windows, "seen": broker.topics.seen}
    failed: list[str] = []
    producer = Producer(
        broker.kafka.librdkafka()
        | {"acks": "all", "enable.idempotence": True, "compression.type": "lz4", "log_level": 0}
    )
    with asking(broker.kafka):
        for record in carried:
            producer.produce(
                names[record.topic],
                record.value,
                record.key,
                record.partition,
                on_delivery=lambda error, _: failed.append(error.str()) if error else None,
            )
            producer.poll(0)
            if len(producer) > 50_000:
                producer.flush(60)
        left = producer.flush(60)
    if left or failed:
        raise NotTaken(f"Kafka did not take all carried records ({failed[0] if failed else f'{left} wait'})")


def save(path: Path, carried: Iterable[Carried], origin: Origin) -> None:
    """Write carried records to a file, whole and on disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as file:
            starts = [*origin.starts.items()]
            file.write(orjson.dumps({_MADE_FROM: origin.windows_id, "starts": starts}) + b"\n")
            for record in carried:
                words = {"topic": record.topic, "partition": record.partition, "key": record.key.decode()}
                file.write(orjson.dumps(words | {"value64": b64encode(record.value).decode()}) + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    partial.replace(path)


def load(path: Path) -> list[Carried]:
    """Return the records of a file that save wrote."""
    return [
        Carried(words["topic"], words["partition"], words["key"].encode(), b64decode(words["value64"]))
        for words in _lines(path)
        if _MADE_FROM not in words
    ]


def made_from(path: Path) -> Origin | None:
    """Return what a file was made from; None: a release before this one wrote it, which did not say."""
    words = next(_lines(path), {})
    return Origin(words[_MADE_FROM], dict(words["starts"])) if _MADE_FROM in words else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rb") as file:
        yield from map(orjson.loads, file)
