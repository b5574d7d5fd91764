"""Puts the job's beacons into Kafka, packed as ingest packs them, and keeps the true counts beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer

from tests.load import broker as kafka
from tests.load.dataset import Counts, Shape, beacons, count, dump, partition_of


@dataclass(frozen=True, slots=True)
class Loaded:
    """A topic full of beacons, and what counting them must give."""

    prefix: str
    shape: Shape
    packed: int
    partitions: int
    beacons: int
    line_bytes: int
    truth: Path
    truth_with_repeats: Path

    @property
    def topic(self) -> str:
        """The topic's name: `beacons` of a line with this prefix, so that our worker can count it."""
        return self.prefix + "beacons"


class _Packer:
    """Packs the lines of each partition, so many a record, into one topic."""

    def __init__(self, producer: Producer, topic: str, packed: int, partitions: int) -> None:
        self._producer, self._topic, self._packed = producer, topic, packed
        self._lines: list[list[bytes]] = [[] for _ in range(partitions)]

    def add(self, partition: int, line: bytes) -> None:
        self._lines[partition].append(line)
        if len(self._lines[partition]) == self._packed:
            self._produce(partition)

    def finish(self) -> None:
        for partition, lines in enumerate(self._lines):
            if lines:
                self._produce(partition)

    def _produce(self, partition: int) -> None:
        value = b"\n".join(self._lines[partition])
        self._lines[partition] = []
        while True:
            try:
                return self._producer.produce(self._topic, value, partition=partition)
            except BufferError:
                self._producer.poll(0.1)


def _producer(broker: kafka.Broker, codec: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": broker.bootstrap,
            "log_level": 0,
            "compression.type": codec,
            "linger.ms": 20,
            "batch.size": 262144,
            "queue.buffering.max.kbytes": 262144,
        }
    )


def load(
    broker: kafka.Broker, folder: Path, shape: Shape, packings: list[int], partitions: int, codec: str
) -> list[Loaded]:
    """Fill one topic a packing in one pass over the beacons."""
    producer = _producer(broker, codec)
    name = f"{shape.sessions}-{shape.entries}-{shape.partners}-{shape.seed}-"
    prefixes = [f"{name}{packed}-{codec}-" for packed in packings]
    packers = []
    for prefix, packed in zip(prefixes, packings, strict=True):
        kafka.create(broker, prefix + "beacons", partitions)
        packers.append(_Packer(producer, prefix + "beacons", packed, partitions))
    truth: Counts = {}
    repeats: Counts = {}
    line_bytes = 0
    for number, sent in enumerate(beacons(shape)):
        line_bytes += len(sent.line)
        count(repeats, sent)
        if not sent.repeated:
            count(truth, sent)
        partition = partition_of(sent, partitions)
        for packer in packers:
            packer.add(partition, sent.line)
        if number % 1000 == 0:
            producer.poll(0)
    for packer in packers:
        packer.finish()
    producer.flush()
    exact, repeated = folder / f"{prefixes[0]}truth.json", folder / f"{prefixes[0]}repeats.json"
    exact.write_bytes(dump(truth))
    repeated.write_bytes(dump(repeats))
    return [
        Loaded(prefix, shape, packed, partitions, shape.beacons, line_bytes, exact, repeated)
        for prefix, packed in zip(prefixes, packings, strict=True)
    ]


def same_counts(truth: Path, got: Path) -> str:
    """Return "" if both files hold the same rows, else the first difference in words."""
    expected, actual = json.loads(truth.read_bytes()), json.loads(got.read_bytes())
    if expected == actual:
        return ""
    wrong = [key for key in expected.keys() | actual.keys() if expected.get(key) != actual.get(key)]
    first = min(wrong)
    found = f"{actual.get(first)} instead of {expected.get(first)}"
    return f"{len(wrong)} of {len(expected)} rows differ, e.g. {first}: {found}"
