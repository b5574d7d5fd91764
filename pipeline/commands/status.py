"""`status`: who counts what, how far, and whether the books add up."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
import orjson

from pipeline.commands.broker import Broker
from pipeline.commands.copies import ask_copies
from pipeline.commands.standing import OUTCOMES, Ingest, Standing, as_json, missing, standing
from pipeline.commands.times import age, shown


@click.command()
@click.option("--json", "json_", is_flag=True, help="One JSON object, for scripts.")
def status(json_: bool) -> None:
    """Show who counts what, how far, and whether the books add up.

    Copy is the worker that was told to keep one; how far it is behind only that worker knows
    (worker_standby_lag_seconds of its /metrics). Position is the last beacon record counted and committed;
    lag is how many records come after it. The ledger says what became of every beacon since the state began:
    beacons = unique + duplicates + unknownTypes + rejected, for each partition. "Counted through" is the
    instant before which every beacon answered 200 is counted.

    Exits with 1 if the books do not add up.
    """
    broker = Broker.from_environment()
    found = stand(broker)
    if json_:
        click.echo(orjson.dumps(as_json(found), option=orjson.OPT_INDENT_2))
    else:
        for line in _lines(found, broker):
            click.echo(line)
    if not found.adds_up:
        raise SystemExit(1)


def stand(broker: Broker) -> Standing:
    """Ask Kafka how the line stands. The order matters: promises, then ends, then what is counted."""
    asked_at = time.time_ns() // 1_000_000
    # Whatever their clocks say: one that is ahead of this machine's may hold beacons in its spool as well.
    ingests = _ingests(broker)
    first, end = broker.starts(broker.topics.beacons), broker.ends(broker.topics.beacons)
    owners = {part: f"{member.name} {member.host}" for member in broker.members() for part in member.partitions}
    topic_id = broker.topic_id(broker.topics.beacons)
    copies = ask_copies(broker.kafka, broker.group, broker.topics.beacons)
    return standing(asked_at, first, end, broker.positions(), owners, ingests, topic_id, copies)


def _ingests(broker: Broker) -> list[Ingest]:
    topic = broker.topics.ingests
    if not broker.partitions(topic):
        return []
    found: dict[str, Ingest | None] = {}
    for messages in broker.read(topic, broker.starts(topic), broker.ends(topic)):
        for message in messages:
            name = message.key().decode("utf-8", "replace")
            said = orjson.loads(message.value()) if message.value() is not None else None
            found[name] = said and Ingest(name, said["time"], said["pendingSince"])
    return [ingest for ingest in found.values() if ingest is not None]


def _lines(found: Standing, broker: Broker) -> Iterator[str]:
    yield f"topics {broker.topics.beacons} and {broker.topics.windows}, group {broker.group}"
    yield ""
    titles = "".join(f"{name:>13}" for name in ("beacons", *OUTCOMES))
    yield (
        f"{'partition':9}  {'owner':22}{'copy':14}{'position':>12}{'end':>12}{'lag':>9}  {'newest counted':20}{titles}"
    )
    for share in found.shares:
        newest = age(share.time, found.asked_at) if share.time else "nothing yet"
        counts = "".join(f"{share.ledger.get(name, 0):>13}" for name in ("beacons", *OUTCOMES))
        yield (
            f"{share.partition:<9}  {share.owner or 'nobody':22}{_copy(share.copies):14}"
            f"{share.offset:>12}{share.end:>12}{share.lag:>9}  {newest:20}{counts}"
        )
    yield ""
    yield _books(found)
    for name, count in sorted(found.ledger.items()):
        if name not in ("beacons", *OUTCOMES):
            yield f"  {name}: {count}"
    yield ""
    for ingest in found.ingests:
        yield f"ingest {ingest.name}: {_spool(ingest, found.asked_at)}"
    if found.counted_through is None:
        yield f"counting: {found.lag} records are not counted yet"
    else:
        yield f"counted through {shown(found.counted_through)} UTC, {age(found.counted_through, found.asked_at)}"


def _copy(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "unknown"
    return " ".join(names) or "nowhere"


def _books(found: Standing) -> str:
    ledger = found.ledger
    sum_ = " + ".join(f"{ledger.get(name, 0)} {name}" for name in OUTCOMES)
    if found.adds_up:
        return f"the books add up: {ledger.get('beacons', 0)} beacons = {sum_}"
    gaps = {share.partition: missing(share.ledger) for share in found.shares}
    wrong = ", ".join(f"{part} ({gap:+})" for part, gap in gaps.items() if gap)
    return f"THE BOOKS DO NOT ADD UP: {ledger.get('beacons', 0)} beacons, {sum_}; partitions {wrong}"


def _spool(ingest: Ingest, now: int) -> str:
    if ingest.pending_since is None:
        return f"everything it answered is in Kafka, {age(ingest.time, now)}"
    return (
        f"its spool holds beacons since {shown(ingest.pending_since)} UTC, {age(ingest.pending_since, now)} "
        f"(said {age(ingest.time, now)})"
    )
