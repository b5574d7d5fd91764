"""`rebuild`: count all beacons again into new state, in place of the present one or beside it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import click
from confluent_kafka import KafkaError, KafkaException

from pipeline.batch import Position
from pipeline.commands.broker import Broker, Offsets, asking
from pipeline.commands.carrying import Origin, carry, load, made_from, save, to_carry
from pipeline.commands.crew import crew
from pipeline.commands.progress import Progress
from pipeline.commands.putting import NotTaken
from pipeline.config import RefusedSetting, WorkerSettings, read_settings
from pipeline.topics import ensure_topics

LOOK_EVERY_S = 0.5
GONE_WITHIN_S = 60.0


@click.command()
@click.option(
    "--beside", metavar="PREFIX", help="Leave the present state as it is; count into topics PREFIXwindows ..."
)
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="To run here, with --beside.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the workers have counted; only without --beside.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rebuild(beside: str | None, workers: int, no_wait: bool, yes: bool) -> None:
    """Count all beacons again: after a repair, for a new metric, window or dimension.

    Rows and marks of beacons that topic beacons no longer has (it keeps 7 days) are carried over, so hours of
    last year stay as they are, and the windows at the edge are completed exactly; only a session that reaches over
    the edge counts as two there, and its time watched from its beginning. Rejected beacons stay listed; with --beside
    those older than topic beacons are in the old state's topic only.

    \b
    Without --beside, the reports are short of rows until it is done:
      1. stop the workers (this refuses while one is alive)
      2. python -m pipeline rebuild        deletes topics windows and seen, creates them again, waits
      3. start the workers while it waits; it shows how far they are

    \b
    With --beside PREFIX nothing that runs is touched:
      1. python -m pipeline rebuild --beside v2-       counts with workers of its own, until it has caught up
      2. STATE_PREFIX=v2- python -m pipeline verify    compares the new rows with the beacons
      3. set STATE_PREFIX=v2- for workers and reports, and restart them: a report reads the new rows from the
         beginning, so with two of them restart one after the other; consumerGroup of a ScaledObject likewise
      4. delete topics windows and seen of the old state when nobody misses them, and rejected after its 30 days
    """
    broker = Broker.from_environment()
    if beside is None:
        _whole(broker, no_wait, yes)
    elif beside == broker.line.state:
        raise RefusedSetting(f"--beside {beside!r} is the present state: choose another prefix")
    else:
        _beside(broker, beside, workers)


def _whole(broker: Broker, no_wait: bool, yes: bool) -> None:
    alive = ", ".join(sorted(f"{member.name} at {member.host}" for member in broker.members()))
    if alive:
        raise RefusedSetting(f"workers of group {broker.group} are alive: stop {alive} first, or use --beside")
    if not yes:
        click.confirm(f"Delete topics {broker.topics.windows} and {broker.topics.seen} and count again?", abort=True)
    file = broker.line.data_dir / "rebuild" / f"{broker.line.state}carried.ndjson.gz"
    if file.exists() and _has_deleted(broker, file):
        click.echo(f"going on with a rebuild that was cut short: {file}")
    else:
        _wipe_stores(broker, _make(broker, file).windows_id)
    origin = made_from(file)
    try:
        _delete_topics(broker)
        _fill_new(broker, file)
        file.unlink()
    except BaseException:
        # Ctrl-C too. Another machine, or another DATA_DIR, has no such file, and would begin with an empty state.
        if file.exists():
            click.echo(f"cut short: run this again HERE; {file} holds rows that nothing else does", err=True)
        raise
    click.echo("the state is empty: start the workers")
    if not no_wait:
        before = origin.starts if origin else broker.starts(broker.topics.beacons)
        if lost := _follow(broker, "counting beacons", before):
            raise click.ClickException(
                f"{lost} beacon records were gone before they were counted, and no row has them: begin again from a "
                f"backup of the topics, or `import` them from whoever still has them"
            )


def _make(broker: Broker, file: Path) -> Origin:
    """Make the file of what is to be carried over from this state."""
    origin = Origin(broker.topic_id(broker.topics.windows), broker.starts(broker.topics.beacons))
    save(file, to_carry(broker, origin.starts), origin)
    return origin


def _has_deleted(broker: Broker, file: Path) -> bool:
    """Tell whether the rebuild that made a file got as far as deleting: else workers may have counted since."""
    if not all(broker.partitions(topic) for topic in (broker.topics.windows, broker.topics.seen)):
        return True
    old = made_from(file)
    if old is not None:
        return broker.topic_id(broker.topics.windows) != old.windows_id
    if not broker.positions():
        return True  # no worker has counted into it: it is the new one, with a part of the file at most
    # Nothing tells the old topic from a new one here, and in the second case the file is the only one of its kind.
    kept = file.replace(file.with_name(f"{file.name}.{time.time_ns()}"))
    click.echo(f"{kept} was made by an earlier release, and workers have counted since: kept, not used", err=True)
    return False


def _fill_new(broker: Broker, file: Path) -> None:
    ensure_topics(broker.kafka, broker.line, read_settings(WorkerSettings).dedupe_horizon_s)
    carried = load(file)
    try:
        carry(broker, carried)
    except NotTaken as error:
        raise click.ClickException(f"{error}: run this again") from error
    if carried:
        rows = sum(record.topic == "windows" for record in carried)
        click.echo(f"carried over {rows} rows of beacons that Kafka no longer has")


def _wipe_stores(broker: Broker, windows_id: str) -> None:
    """Delete this machine's stores of the old state; others are never opened again, they only take room."""
    for folder in broker.line.data_dir.glob(f"state/*/{windows_id}"):
        shutil.rmtree(folder)
        click.echo(f"deleted {folder}")


def _delete_topics(broker: Broker) -> None:
    names = [name for name in (broker.topics.windows, broker.topics.seen) if broker.partitions(name)]
    with asking(broker.kafka):
        for asked in broker.admin.delete_topics(names).values() if names else ():
            try:
                asked.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
    give_up = time.monotonic() + GONE_WITHIN_S
    while any(broker.partitions(name) for name in names):
        if time.monotonic() > give_up:
            raise RefusedSetting(f"Kafka does not delete {', '.join(names)}: is delete.topic.enable off?")
        time.sleep(LOOK_EVERY_S)


def _beside(broker: Broker, prefix: str, workers: int) -> None:
    new = Broker(broker.kafka, broker.line.model_copy(update={"state_prefix": prefix}))
    # Kept until the new state has caught up: it says where the counting began.
    file = broker.line.data_dir / "rebuild" / f"{prefix}carried.ndjson.gz"
    begin_again = "the present state has them: begin again with another prefix"
    positions = new.positions() if new.partitions(new.topics.windows) else {}
    if positions:
        origin = made_from(file) if file.exists() else None
        before = origin.starts if origin else {part: _lost_of(position) for part, position in positions.items()}
        if lost := _lost(positions, broker.starts(broker.topics.beacons), before):
            raise click.ClickException(
                f"{new.topics.windows} lacks {lost} beacon records that are gone by now; {begin_again}"
            )
        click.echo(f"going on with {new.topics.windows}")
    else:
        before = _make(broker, file).starts
        _fill_new(new, file)
    with crew(new, prefix, workers) as check:
        lost = _follow(new, f"counting beacons into {new.topics.windows}", before, check)
    if lost:
        raise click.ClickException(f"{lost} beacon records were gone before they were counted; {begin_again}")
    file.unlink(missing_ok=True)
    click.echo(
        f"{new.topics.windows} has caught up. Now: STATE_PREFIX={prefix} python -m pipeline verify; then set "
        f"STATE_PREFIX={prefix} for workers and reports and restart them one after the other."
    )


def _lost(positions: dict[int, Position], starts: Offsets, before: Offsets) -> int:
    """Return how many beacon records a state has not counted and never will.

    Args:
        positions: of the state.
        starts: of topic `beacons` now.
        before: by partition how many it lacked when its counting began, which is no loss: they were carried over.
    """
    lost = 0
    for part, start in starts.items():
        position = positions.get(part, Position())
        # What its worker has passed over, and what it will pass over as soon as it reads.
        lost += max(0, _lost_of(position) + max(0, start - position.offset - 1) - before.get(part, 0))
    return lost


def _lost_of(position: Position) -> int:
    return position.ledger.get("lostOffsets", 0)


def _follow(broker: Broker, label: str, before: Offsets, check: Callable[[], None] = lambda: None) -> int:
    """Wait until what is in topic `beacons` now is counted, with a progress bar; return how many records were lost."""
    begin, end = broker.starts(broker.topics.beacons), broker.ends(broker.topics.beacons)
    began = time.monotonic()
    with Progress(label, begin, end) as progress:
        while True:
            check()
            positions = broker.positions()
            at = {part: position.offset + 1 for part, position in positions.items()}
            progress.reach({part: min(offset, end[part]) for part, offset in at.items()})
            if all(at.get(part, 0) >= end[part] for part in end if end[part] > begin[part]):
                break
            time.sleep(LOOK_EVERY_S)
    records = sum(end.values()) - sum(begin.values())
    click.echo(f"{records} beacon records counted in {time.monotonic() - began:.0f} s")
    return _lost(positions, begin, before)
