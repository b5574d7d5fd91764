"""`repartition`: the beacons of a line with too few partitions into this one, each once, to be counted anew."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from ingest.beacon import partition_of
from ingest.wire import UnreadableLine, decode
from pipeline.commands.broker import Broker, Offsets
from pipeline.commands.putting import MOST_LINES, NotTaken, Putter, Ready
from pipeline.config import RefusedSetting

_ALWAYS = 2**62


@click.command("repartition")
@click.option("--from", "old_prefix", required=True, help="TOPIC_PREFIX of the line whose beacons are taken.")
@click.option("--rate", type=click.IntRange(1), default=20_000, show_default=True, help="Beacons a second, at most.")
def repartition(old_prefix: str, rate: int) -> None:
    """Put all beacons of another line into this one, by this one's partitions; they keep record id and receive time.

    \b
    When a line has too few partitions, side by side and without a pause:
      1. PARTITIONS=32 TOPIC_PREFIX=v2- for all from here on: python -m deploy.kafka.acls --apply where rights are
         asked for, python -m pipeline topics, then workers and reports
      2. ingests, restarted one after another, each when its spool is empty: what it holds has the old partitions
      3. python -m pipeline repartition --from OLD
      4. python -m pipeline verify; dashboards to the new reports; the old topics away

    Run it as often as you like: a record id is put once. Whatever was put before and what comes live is told apart
    from it by identity, as ever; a repeat that was sent on the other side of the switch counts where the new line
    saw it first. What Kafka no longer holds (7 days) cannot be counted anew: keep the old reports for that.
    Lines that cannot be read were never counted; they stay where they are. Takes about 100 bytes of memory a beacon.
    """
    broker = Broker.from_environment()
    if old_prefix == broker.line.topic_prefix:
        raise RefusedSetting(f"--from {old_prefix!r} is this line's own TOPIC_PREFIX: name the old line's")
    old = Broker(broker.kafka, broker.line.model_copy(update={"topic_prefix": old_prefix}))
    partitions = len(broker.partitions(broker.topics.beacons))
    if not partitions:
        raise RefusedSetting(f"there is no topic {broker.topics.beacons}: run python -m pipeline topics first")
    try:
        put, before, unreadable = _Carrier(broker, old, partitions, rate).carry()
    except NotTaken as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"put {put} beacons into {partitions} partitions, {before} were put before, {unreadable} unreadable left"
    )


class _Carrier:
    """Reads one topic and puts into the other, no faster than told."""

    def __init__(self, broker: Broker, old: Broker, partitions: int, rate: int) -> None:
        self._old = old
        self._partitions = partitions
        self._rate = rate
        self._chunk: list[Ready] = []
        self._putter = Putter(broker)
        self._put = self._before = self._unreadable = 0
        self._began = time.monotonic()

    def carry(self) -> tuple[int, int, int]:
        """Carry what is there now; return how many were put, had been before, and are unreadable."""
        topic = self._old.topics.beacons
        begin, end = self._old.starts(topic), self._old.ends(topic)
        self._putter.begin(0, _ALWAYS)
        hidden = not sys.stderr.isatty()
        bar: Any
        with click.progressbar(length=_records(begin, end), label="records", file=sys.stderr, hidden=hidden) as bar:
            for messages in self._old.read(topic, begin, end):
                for message in messages:
                    self._take(message.value() or b"")
                bar.update(len(messages))
        self._flush()
        return self._put, self._before, self._unreadable

    def _take(self, value: bytes) -> None:
        for line in value.split(b"\n"):
            try:
                beacon = decode(line)
            except UnreadableLine:
                self._unreadable += 1
                continue
            self._chunk.append(Ready(beacon.id, beacon.time, partition_of(beacon, self._partitions), line))
        if len(self._chunk) >= min(self._rate, MOST_LINES // 2):
            self._flush()

    def _flush(self) -> None:
        for start in range(0, len(self._chunk), MOST_LINES):
            done = self._putter.put(self._chunk[start : start + MOST_LINES])
            self._put, self._before = self._put + done.put, self._before + done.before
        self._chunk.clear()
        # Only what is new burdens the workers.
        time.sleep(max(0.0, self._began + self._put / self._rate - time.monotonic()))


def _records(begin: Offsets, end: Offsets) -> int:
    return sum(end[part] - begin[part] for part in begin)
