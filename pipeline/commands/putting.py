"""Puts lines into topic `beacons` from a command: each record id once, ever, however often the command runs.

Seen marks are kept for the dedupe horizon only; an old log may come again after a month. So topic `imports`
(compact, one partition) notes the digests of what was put: before, as not done; after, as done. A note that is
not done was left by a command that died: what it had put is then looked for in `beacons`. Where Kafka has removed
records put since, nobody can tell any more: such lines are taken as put, since once too few can be told and made
good, and once too often cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import NewTopic

from pipeline.commands.broker import Broker, Offsets, asking
from pipeline.commands.notes import Note, digest_of, note_key, pack_note, unpack_note
from pipeline.commands.times import shown
from pipeline.config import RefusedSetting

# Of a note: 320 kB of digests, well below what one record may hold.
MOST_LINES = 20_000
PACK_LINES = 200
PACK_BYTES = 400_000
# Kafka's clock against itself: a note's time and the lines' are both the broker's.
SLACK_MS = 60_000


class _Id(msgspec.Struct):
    id: str = ""


_read_id = msgspec.json.Decoder(_Id).decode


@dataclass(frozen=True, slots=True)
class Ready:
    """A line to put, with its record id, receive time (Unix ms) and partition."""

    id: str
    time: int
    partition: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """How many lines were put, and how many had been before."""

    put: int = 0
    before: int = 0


class NotTaken(Exception):
    """Kafka did not take all lines: run the command again, it goes on where it was."""


class Putter:
    """One at a time for each line: a second one fences the first."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topic = broker.line.topic_prefix + "imports"
        self._known: set[bytes] = set()
        settings = broker.kafka.librdkafka() | {"acks": "all", "compression.type": "lz4", "log_level": 0}
        self._notes = Producer(settings | {"transactional.id": broker.line.topic_prefix + "import"})
        # Not in a transaction: its marker would be a hole in the offsets that the workers count by.
        self._beacons = Producer(settings | {"enable.idempotence": True, "linger.ms": 5})
        self._failed: KafkaError | None = None

    def begin(self, low_ms: int, high_ms: int) -> None:
        """Learn what was put before, of lines received in this range of time."""
        self._ensure_topic()
        with asking(self._broker.kafka):
            self._notes.init_transactions(30)
        unfinished: dict[bytes, tuple[Note, int]] = {}
        for key, note, written_ms in self._noted():
            if note.done:
                unfinished.pop(key, None)
                if note.meets(low_ms, high_ms):
                    self._known |= note.digests
            else:
                unfinished[key] = (note, written_ms)
        for note, written_ms in unfinished.values():
            self._finish(note, written_ms)

    def _noted(self) -> Iterator[tuple[bytes, Note, int]]:
        broker = self._broker
        begin, end = broker.starts(self._topic), broker.ends(self._topic, committed=True)
        for messages in broker.read(self._topic, begin, end):
            for message in messages:
                yield message.key(), unpack_note(message.value()), message.timestamp()[1]

    def _finish(self, note: Note, written_ms: int) -> None:
        """Find what a command that died had put, and note it as done."""
        broker, topic = self._broker, self._broker.topics.beacons
        begin = self._begin(note, written_ms)
        found: set[bytes] = set()
        for messages in broker.read(topic, begin, broker.ends(topic)):
            for message in messages:
                for line in (message.value() or b"").split(b"\n"):
                    try:
                        found.add(digest_of(_read_id(line).id))
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        continue  # another's line, unreadable: none that a command puts
        there = note.digests & found
        # Asked for after the records were read: what was removed meanwhile is in doubt too.
        if self._is_cut(note, begin):
            doubted = len(note.digests - there)
            there = note.digests
            if doubted:
                click.echo(
                    f"{doubted} lines received {shown(note.low)} to {shown(note.high)} UTC are taken as put: a command "
                    "that died may have put them, and Kafka has removed what would tell: compare counts of that time",
                    err=True,
                )
        self._known |= there
        self._note(note_key(note.digests), Note(True, note.low, note.high, frozenset(there)))

    def _begin(self, note: Note, written_ms: int) -> Offsets:
        """Return where in `beacons` the lines of a note can begin."""
        topic = self._broker.topics.beacons
        if not note.ends:
            return self._broker.at(topic, written_ms - SLACK_MS)
        first = self._broker.starts(topic)
        return {part: max(first[part], note.ends[part] if part < len(note.ends) else 0) for part in first}

    def _is_cut(self, note: Note, begin: Offsets) -> bool:
        """Tell whether Kafka has removed records of `beacons` that may be the note's."""
        first = self._broker.starts(self._broker.topics.beacons)
        if note.ends:
            return any(part < len(note.ends) and first[part] > note.ends[part] for part in first)
        # A note of an earlier version: what lies before the first record held may be as late as that one.
        return any(first[part] > 0 and begin[part] <= first[part] for part in first)

    def _ensure_topic(self) -> None:
        if self._broker.partitions(self._topic):
            return
        replication = self._broker.line.replication
        settings = {"cleanup.policy": "compact", "min.insync.replicas": str(max(1, replication - 1))}
        topic = NewTopic(self._topic, 1, replication, config=settings | {"message.timestamp.type": "LogAppendTime"})
        with asking(self._broker.kafka):
            self._broker.admin.create_topics([topic])[self._topic].result()

    def put(self, lines: Sequence[Ready]) -> Done:
        """Put those of at most MOST_LINES lines that never were put before.

        Raises:
            NotTaken: Kafka did not take all of them in time.
        """
        assert len(lines) <= MOST_LINES
        new: dict[bytes, Ready] = {}
        for line in lines:
            digest = digest_of(line.id)
            if digest not in self._known:
                new.setdefault(digest, line)
        if new:
            times = [line.time for line in new.values()]
            digests = frozenset(new)
            ends = self._broker.ends(self._broker.topics.beacons)
            known = tuple(ends[part] for part in sorted(ends))
            self._note(note_key(digests), Note(False, min(times), max(times), digests, known))
            self._produce(list(new.values()))
            self._note(note_key(digests), Note(True, min(times), max(times), digests))
            self._known |= digests
        return Done(len(new), len(lines) - len(new))

    def _produce(self, lines: list[Ready]) -> None:
        for partition, value in packed(lines):
            self._beacons.produce(self._broker.topics.beacons, value, None, partition, on_delivery=self._delivered)
        left = self._beacons.flush(60)
        if left or self._failed is not None:
            why = self._failed.str() if self._failed is not None else f"{left} records wait"
            raise NotTaken(f"Kafka did not take all lines ({why}): run this again, nothing is put twice")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = error

    def _note(self, key: bytes, note: Note) -> None:
        try:
            self._notes.begin_transaction()
            self._notes.produce(self._topic, pack_note(note), key, 0)
            self._notes.commit_transaction(30)
        except KafkaException as error:
            if error.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED):
                raise RefusedSetting("another import or replay of this line has begun: only one at a time") from error
            raise NotTaken(f"{error.args[0].str()}: run this again, nothing is put twice") from error


def packed(lines: Sequence[Ready]) -> Iterator[tuple[int, bytes]]:
    """Yield records of topic `beacons`: partition and joined lines, each partition's in order."""
    waiting: dict[int, list[bytes]] = {}
    sizes: dict[int, int] = {}
    for ready in lines:
        pack = waiting.setdefault(ready.partition, [])
        size = sizes.get(ready.partition, 0)
        if pack and (len(pack) >= PACK_LINES or size + len(ready.line) > PACK_BYTES):
            yield ready.partition, b"\n".join(pack)
            pack.clear()
            size = 0
        pack.append(ready.line)
        sizes[ready.partition] = size + len(ready.line) + 1
    for partition, pack in waiting.items():
        yield partition, b"\n".join(pack)
