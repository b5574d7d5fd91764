"""`export` and `erase`: what the line holds of one session or one partner, and what of it can be taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO
from zlib import crc32

import click
import orjson
from confluent_kafka import TopicPartition

from ingest.beacon import Beacon, first_value, session_of
from ingest.wire import UnreadableLine, decode
from pipeline.batch import Batch, Position, is_position_key, unpack_seen
from pipeline.changelog import Changelog, Lost
from pipeline.commands.broker import ASK_S, Broker, Offsets, asking
from pipeline.commands.letters import NoLetter, read_letter
from pipeline.commands.progress import Progress
from pipeline.commands.times import INSTANT, shown
from pipeline.config import RefusedSetting
from pipeline.tail import Tail

# How far a clock of ingest may be from the broker's.
CLOCK_SLACK_S = 2 * 3600
TRIES = 10
LAST_MARKS = 2_000


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose beacons: a session's or a partner's."""

    session: bytes | None
    partner: str | None

    def owns(self, beacon: Beacon) -> bool:
        """Tell whether a beacon is the subject's."""
        if self.session is not None:
            return session_of(beacon) == self.session
        values = (
            first_value(beacon.body, b"partnerId"),
            first_value(beacon.query, b"partnerId"),
            _json_partner(beacon),
        )
        return any(value is not None and _partner_id(value) == self.partner for value in values)

    def partitions(self, all_: list[int]) -> list[int]:
        """Return the partitions of `beacons` that may hold its beacons: a session has one."""
        return [crc32(self.session) % len(all_)] if self.session else all_


def _partner_id(value: bytes) -> str:
    """Return a partner id as rows have it: digits without zeros before them."""
    text = value.strip().decode("utf-8", "replace")
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else text


def _json_partner(beacon: Beacon) -> bytes | None:
    if not beacon.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    try:
        value = orjson.loads(beacon.body.removeprefix(b"\xef\xbb\xbf")).get("partnerId")
    except orjson.JSONDecodeError:
        return None
    return None if value is None else str(value).encode()


def subject_of(session: str | None, partner: str | None) -> Subject:
    """Return the subject that the options name: exactly one of them."""
    if (session is None) is (partner is None) or not (session or partner):
        raise click.UsageError("give either --session or --partner")
    return Subject(None if session is None else session.encode("utf-8", "surrogateescape"), partner)


def whose(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a subject."""
    command = click.option("--partner", help="All beacons of this partnerId.")(command)
    return click.option("--session", help="All beacons of this sessionId, as decoded text.")(command)


@dataclass(slots=True)
class Held:
    """What was found of a subject in a topic.

    Attributes:
        last: per partition the offset of the last record with one of its lines.
        newest: when Kafka took the last one in, Unix ms.
    """

    lines: int
    last: Offsets
    newest: int


def _beacon_lines(broker: Broker, begin: Offsets, end: Offsets) -> Iterator[tuple[int, int, int, bytes]]:
    with Progress("reading beacons", begin, end) as progress:
        for messages in broker.read(broker.topics.beacons, begin, end):
            for message in messages:
                for line in (message.value() or b"").split(b"\n"):
                    yield message.partition(), message.offset(), message.timestamp()[1], line
            progress.read(messages)


def _found(broker: Broker, subject: Subject, from_: int, to: int | None, write: Callable[[bytes], object]) -> Held:
    """Hand over every line of a subject in topic `beacons`; say where they lie."""
    topic, parts = broker.topics.beacons, subject.partitions(broker.partitions(broker.topics.beacons))
    at, ends = broker.at(topic, (from_ - CLOCK_SLACK_S) * 1000), broker.ends(topic)
    begin, end = {part: at[part] for part in parts}, {part: ends[part] for part in parts}
    held = Held(0, {}, 0)
    for part, offset, time_ms, line in _beacon_lines(broker, begin, end):
        try:
            beacon = decode(line)
        except UnreadableLine:
            continue  # nobody can say whose it is; `rejected list` shows it
        if subject.owns(beacon) and from_ * 1000 <= beacon.time and (to is None or beacon.time < to * 1000):
            held.lines += 1
            held.last[part] = offset
            held.newest = max(held.newest, time_ms)
            write(line)
    return held


@click.command()
@whose
@click.option("--from", "from_", type=INSTANT, default=0, help="Received at this time or later.")
@click.option("--to", type=INSTANT, help="Received before this time.")
@click.option("--out", type=click.File("wb", lazy=False), default="-", help="File; default: standard output.")
def export(session: str | None, partner: str | None, from_: int, to: int | None, out: IO[bytes]) -> None:
    """Write every beacon of a session or a partner, one JSON object a line, as topic beacons holds them.

    Beacons are kept for 7 days, rejected ones among them. `import` takes the lines back in.
    """
    broker = Broker.from_environment()
    held = _found(broker, subject_of(session, partner), from_, to, lambda line: out.write(line + b"\n"))
    out.flush()
    click.echo(f"{held.lines} beacons", err=True)


@click.command()
@whose
@click.option("--cut-log", is_flag=True, help="Also delete the raw beacons, everybody's, up to the subject's last one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(session: str | None, partner: str | None, cut_log: bool, yes: bool) -> None:
    """Take away what can be taken away of a session or a partner, and say what stays, and until when.

    \b
    A partner's rows     are deleted now from topic windows, and so from the reports and the workers' stores,
                         which may go on meanwhile. Beacons that come later count from nothing.
    A session's counts   stay: rows hold no session, one cannot be told from another in them. Sets by user hold its
                         user as a keyed hash: who destroys WORKER_USER_KEY_FILE makes all of them nobody's.
    Raw beacons          stay until Kafka's retention takes them (7 days), for Kafka cannot delete single records.
                         --cut-log deletes everybody's raw beacons of the same partitions up to the subject's last
                         one: counts stay, but `verify`, `rebuild` and `export` reach back no further.
    Rejected beacons     stay for 30 days. Seen marks are digests of 16 bytes; they stay for twice the horizon.
    A rebuild            within the retention counts a partner's raw beacons again: use --cut-log, or do not.
    Copies elsewhere     stay: what `history export` wrote (Parquet, ClickHouse) and every `backup` of the report,
                         which brings its rows back when it is restored. Delete them there.
    """
    broker = Broker.from_environment()
    subject = subject_of(session, partner)
    held = _found(broker, subject, 0, None, lambda _: None)
    click.echo(f"topic {broker.topics.beacons} holds {held.lines} raw beacons of it")
    if not yes:
        click.confirm("Erase?", abort=True)
    if partner is not None:
        click.echo(f"deleted {_delete_rows(broker, partner)} rows from topic {broker.topics.windows}")
    if cut_log:
        _cut(broker, held)
    elif held.lines:
        click.echo(
            f"raw beacons stay until {shown(_gone_by(broker, broker.topics.beacons, held.newest))} UTC at the latest"
        )
    letters, newest = _letters(broker, subject)
    if letters:
        gone_by = shown(_gone_by(broker, broker.topics.rejected, newest))
        click.echo(
            f"{letters} rejected beacons stay in topic {broker.topics.rejected} until {gone_by} UTC at the latest"
        )


def _gone_by(broker: Broker, topic: str, newest_ms: int) -> int:
    """Return when retention has taken a record at the latest, Unix ms: at most a segment later."""
    settings = broker.settings(topic)
    return newest_ms + int(settings["retention.ms"]) + int(settings["segment.ms"])


def _cut(broker: Broker, held: Held) -> None:
    positions = broker.positions()
    for part, last in held.last.items():
        if part not in positions or positions[part].offset < last:
            raise RefusedSetting(f"partition {part} is not counted up to {last} yet: wait until `status` shows no lag")
    places = [TopicPartition(broker.topics.beacons, part, last + 1) for part, last in held.last.items()]
    with asking(broker.kafka):
        for asked in broker.admin.delete_records(places, request_timeout=ASK_S).values() if places else ():
            asked.result()
    click.echo(f"deleted everybody's raw beacons up to the last of these, in {len(places)} partitions")


def _letters(broker: Broker, subject: Subject) -> tuple[int, int]:
    topic = broker.topics.rejected
    count = newest = 0
    for messages in broker.read(topic, broker.starts(topic), broker.ends(topic, committed=True)):
        for message in messages:
            try:
                if subject.owns(decode(read_letter(message.value() or b"").raw)):
                    count, newest = count + 1, max(newest, message.timestamp()[1])
            except (NoLetter, UnreadableLine):
                continue  # nobody can say whose it is
    return count, newest


def _delete_rows(broker: Broker, partner: str) -> int:
    """Write tombstones for a partner's rows, as the owner of each partition: its worker is fenced and opens again.

    Opening replays the tombstones, so memory, store and Kafka agree again; nothing else is written by it.
    """
    deleted = 0
    for part in broker.partitions(broker.topics.windows):
        for left in range(TRIES - 1, -1, -1):
            try:
                deleted += _delete_in(broker, partner, part)
                break
            except Lost as lost:
                if not left:
                    raise click.ClickException(f"partition {part}: {lost}; run this again") from lost
    return deleted


def _delete_in(broker: Broker, partner: str, part: int) -> int:
    topics = broker.topics
    reading = _Reading(broker, partner, part)
    # The long reading first: between the fence and the commit the worker may come back and fence us.
    reading.read(topics.windows)
    changelog = Changelog(broker.kafka.librdkafka(), topics, f"{broker.group}-{part}", part)
    try:
        changelog.fence()
        reading.read(topics.windows)
        reading.read(topics.seen)
        # Without rows its position does not matter: a partition that never had a beacon has none.
        if keys := reading.rows():
            changelog.commit(Batch([], keys, [], [], [], reading.position()))
        return len(keys)
    finally:
        changelog.close()


class _Reading:
    """Reads one partition of the state, as its owner would when opening it."""

    def __init__(self, broker: Broker, partner: str, part: int) -> None:
        self._broker = broker
        self._partner = partner
        self._part = part
        self._tail = Tail()
        self._last: Position | None = None
        self._there: dict[bytes, bool] = {}
        seen, windows = broker.topics.seen, broker.topics.windows
        # Of the marks only the last batch is judged.
        first, end = broker.starts(seen)[part], broker.ends(seen)[part]
        self._next = {windows: broker.starts(windows)[part], seen: max(first, end - LAST_MARKS)}

    def read(self, topic: str) -> None:
        end = self._broker.ends(topic, committed=True)[self._part]
        for messages in self._broker.read(topic, {self._part: self._next[topic]}, {self._part: end}):
            for message in messages:
                key, value = message.key(), message.value()
                if topic == self._broker.topics.seen:
                    marks, sessions = unpack_seen(value)
                    self._tail.read_seen(key, value, len(marks), len(sessions))
                elif is_position_key(key):
                    self._last = Position.read(value)
                    self._tail.read_position(self._last)
                else:
                    if value is not None:
                        self._tail.read_row(key, value)
                    if orjson.loads(key)["partnerId"] == self._partner:
                        self._there[key] = value is not None
        self._next[topic] = end

    def rows(self) -> list[bytes]:
        return [key for key, is_there in self._there.items() if is_there]

    def position(self) -> Position:
        """Return the position again, as one of a batch without rows.

        Raises:
            Lost: it was never counted, or the last checkpoint is torn; only its worker can mend that, and does so
                when it opens it.
        """
        if self._last is None:
            raise Lost("it has rows that a rebuild carried over, but no worker has counted it yet: start the workers")
        if self._tail.verdict(None).heal_until >= 0:
            raise Lost("its last checkpoint is not whole: a worker must open it first")
        at = self._last
        return Position(at.offset, at.offset, at.time, 0, 0, 0, at.ledger, {}, at.topic)
