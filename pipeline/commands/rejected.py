"""`rejected`: list the beacons that could not be understood, show one, put the repaired ones back into the line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from ingest.beacon import partition_of
from pipeline.commands.broker import Broker
from pipeline.commands.letters import Letter, NoLetter, beacon_of, distinct, read_letter, why_left
from pipeline.commands.putting import MOST_LINES, Done, NotTaken, Putter, Ready
from pipeline.commands.times import INSTANT, shown
from pipeline.config import WorkerSettings, read_settings

SHOWN_BYTES = 100


@click.group()
def rejected() -> None:
    """Beacons that could not be understood: list, show, put the repaired ones back.

    The line keeps them for 30 days with the reason and their place PARTITION:OFFSET:LINE in topic beacons.

    \b
    What a person does with them:
      python -m pipeline rejected list                      what came, and why it was not counted
      python -m pipeline rejected show 3:1207:0             one as it came
      python -m pipeline rejected replay --dry-run          which ones this version can read now
      python -m pipeline rejected replay                    put those back
      python -m pipeline rejected list --json --reason bad_partner > letters
      ... edit the raw lines in the file ...
      python -m pipeline rejected replay --edited letters   put the edited ones back
    """


@rejected.command("list")
@click.option("--reason", "reasons", multiple=True, help="Only these reasons; may be repeated.")
@click.option("--from", "from_", type=INSTANT, default=0, help="Rejected at this time or later.")
@click.option("--to", type=INSTANT, help="Rejected before this time.")
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="0: all of them.")
@click.option("--json", "json_", is_flag=True, help="A JSON object a line, with the whole raw line.")
def list_(reasons: tuple[str, ...], from_: int, to: int | None, limit: int, json_: bool) -> None:
    """List the rejected beacons, oldest first, with the number of each reason."""
    counts: Counter[str] = Counter()
    shown_count = 0
    for letter in _letters(Broker.from_environment(), reasons, from_, to):
        counts[letter.reason] += 1
        if limit and shown_count >= limit:
            continue
        shown_count += 1
        if json_:
            click.echo(orjson.dumps(letter.as_json()))
        else:
            text = letter.raw[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
            # A log of an operator's terminal: what players send must not steer it.
            safe = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
            click.echo(f"{shown(letter.time)}  {letter.reason:16} {letter.place:>16}  {safe}")
    total = ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none"
    click.echo(f"{shown_count} of {counts.total()} rejected beacons: {total}", err=True)


@rejected.command()
@click.argument("place")
def show(place: str) -> None:
    """Print the raw line of the rejected beacon at PLACE (PARTITION:OFFSET:LINE), byte for byte."""
    for letter in _letters(Broker.from_environment(), (), 0, None):
        if letter.place == place:
            sys.stdout.buffer.write(letter.raw + b"\n")
            again = why_left(letter, _by_pair())
            verdict = "this version can read it" if again is None else f"would be rejected again ({again})"
            if letter.cut:
                verdict = f"cannot be put back: these are the first {len(letter.raw)} of its {letter.cut} bytes"
            click.echo(f"rejected {shown(letter.time)} UTC as {letter.reason}; now: {verdict}", err=True)
            return
    raise click.ClickException(f"no rejected beacon at {place}: see `rejected list`")


@rejected.command()
@click.option("--reason", "reasons", multiple=True, help="Only letters with these reasons; may be repeated.")
@click.option("--place", "places", multiple=True, help="Only the letters at these places; may be repeated.")
@click.option(
    "--edited",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the lines of this file instead: what `list --json` printed, with `raw` edited.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be put back.")
def replay(reasons: tuple[str, ...], places: tuple[str, ...], edited: Path | None, dry_run: bool) -> None:
    """Put rejected beacons that can be read now back into the line.

    Each goes to topic beacons with its own record id and receive time, so it counts in the windows of its own
    time. Running this twice changes nothing: topic imports remembers every record id that was put.

    After an upgrade that reads them, either replay or rebuild, not both: a rebuild reads the rejected lines by
    itself, and would know a line that was put back later than the dedupe horizon for a new one.

    A line of over 1.5 MB is kept cut: it is named `cut`, and never put back.

    Exits with 1, putting nothing, if an edited line cannot be read.
    """
    broker = Broker.from_environment()
    letters = list(_edited(edited) if edited else _letters(broker, reasons, 0, None))
    chosen = [letter for letter in letters if not places or letter.place in places]
    refusals = {letter: why_left(letter, _by_pair()) for letter in chosen}
    if edited and any(refusals.values()):
        for letter, why in refusals.items():
            if why is not None:
                click.echo(f"{letter.place}: still {why}", err=True)
        raise click.ClickException("nothing was put back: correct these lines")
    ready = _ready(broker, [letter for letter, why in refusals.items() if why is None])
    unreadable = Counter(why for why in refusals.values() if why is not None)
    still = f"; still unreadable: {', '.join(f'{n} {why}' for why, n in unreadable.items())}" if unreadable else ""
    if dry_run:
        click.echo(f"{len(ready)} of {len(chosen)} rejected beacons can be read now{still}")
        return
    done = _put(broker, ready)
    click.echo(f"put back {done.put}, put back before {done.before}{still}")


def _put(broker: Broker, ready: list[Ready]) -> Done:
    if not ready:
        return Done()
    putter = Putter(broker)
    times = [line.time for line in ready]
    putter.begin(min(times), max(times))
    put = before = 0
    try:
        for start in range(0, len(ready), MOST_LINES):
            done = putter.put(ready[start : start + MOST_LINES])
            put, before = put + done.put, before + done.before
    except NotTaken as error:
        raise click.ClickException(str(error)) from error
    return Done(put, before)


def _ready(broker: Broker, letters: list[Letter]) -> list[Ready]:
    partitions = len(broker.partitions(broker.topics.beacons))
    beacons = [(letter, beacon_of(letter.raw, _by_pair())) for letter in letters]
    return [Ready(beacon.id, beacon.time, partition_of(beacon, partitions), letter.raw) for letter, beacon in beacons]


def _by_pair() -> bool:
    return bool(read_settings(WorkerSettings).dedupe_by == "pair")


def _edited(path: Path) -> Iterator[Letter]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            letter = read_letter(line)
        except NoLetter as error:
            raise click.ClickException(
                f"{path}, line {number} is no line of `rejected list --json`: {error}"
            ) from error
        if b"\n" in letter.raw:
            raise click.ClickException(f"{path}, line {number}: the raw line holds a newline")
        yield letter


def _letters(broker: Broker, reasons: tuple[str, ...], from_: int, to: int | None) -> Iterator[Letter]:
    """Yield the dead letters of a range of time, each once, oldest first."""
    topic = broker.topics.rejected
    begin, end = broker.at(topic, from_ * 1000), broker.ends(topic, committed=True)
    found: list[Letter] = []
    for messages in broker.read(topic, begin, end):
        for message in messages:
            try:
                letter = read_letter(message.value() or b"", message.timestamp()[1])
            except NoLetter as error:
                where = f"{message.partition()}:{message.offset()}"
                click.echo(f"{topic} {where} is no dead letter, left out: {error}", err=True)
                continue
            if (to is None or letter.time < to * 1000) and (not reasons or letter.reason in reasons):
                found.append(letter)
    found.sort(key=lambda letter: letter.time)
    yield from distinct(found)
