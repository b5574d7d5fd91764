"""Bytes a beacon takes in Kafka by compression and packing, and the CPU that producing and reading it costs.

Each record is a batch of its own, as ingest sends them one by one; so the compression sees one record at a time.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.load import broker as kafka
from tests.load.dataset import Shape, beacons
from tests.load.session import Session
from tests.load.table import Row

CODECS = ("none", "lz4", "zstd")
PACKINGS = (1, 12, 50)
SHAPE = Shape(sessions=20_000)
QUICK = Shape(sessions=5_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one beacon takes."""

    bytes: float
    produce_us: float
    consume_us: float


def bench(session: Session) -> None:
    shape = QUICK if session.quick else SHAPE
    lines = [sent.line for sent in beacons(shape)]
    query_bytes = statistics.mean(len(json.loads(line)["query"]) for line in lines[:10_000])
    line_bytes = sum(map(len, lines)) / len(lines)
    for packed in PACKINGS:
        records = [b"\n".join(lines[at : at + packed]) for at in range(0, len(lines), packed)]
        taken: dict[str, list[Cost]] = {codec: [] for codec in CODECS}
        for _ in range(session.runs):
            for codec in CODECS:
                taken[codec].append(_cost(session, codec, records, len(lines)))
        for codec, costs in taken.items():
            each = costs[0].bytes
            produce = statistics.median(cost.produce_us for cost in costs)
            consume = statistics.median(cost.consume_us for cost in costs)
            note = f"producing {produce:.2f}, reading {consume:.2f} µs CPU/beacon; line {line_bytes:.0f} bytes"
            what = f"beacons, {codec}, {packed} a record"
            session.add(Row("bytes", what, each, "bytes/beacon", "", each / query_bytes, "query string", note=note))


def _cost(session: Session, codec: str, records: list[bytes], number: int) -> Cost:
    topic = session.name(f"bytes-{codec}-")
    kafka.create(session.broker, topic, 1)
    began = time.process_time()
    producer = Producer(
        {
            "bootstrap.servers": session.broker.bootstrap,
            "log_level": 0,
            "compression.type": codec,
            "batch.num.messages": 1,
            "linger.ms": 0,
            "queue.buffering.max.kbytes": 262144,
        }
    )
    for record in records:
        while True:
            try:
                producer.produce(topic, record, partition=0)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()
    produced = time.process_time() - began
    held = kafka.log_bytes(session.broker, topic)
    began = time.process_time()
    _read(session, topic, len(records))
    consumed = time.process_time() - began
    kafka.delete(session.broker, [topic])
    return Cost(held / number, produced / number * 1e6, consumed / number * 1e6)


def _read(session: Session, topic: str, records: int) -> None:
    consumer = Consumer({"bootstrap.servers": session.broker.bootstrap, "group.id": "bytes", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    while records > 0:
        records -= len(consumer.consume(1000, 0.2))
    consumer.close()
