"""`import`: old beacon logs into the line, with their own receive times, each line once."""

from __future__ import annotations

import gzip
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import click

from ingest.beacon import Beacon, partition_of
from pipeline.catalog import WINDOWS
from pipeline.commands.broker import Broker
from pipeline.commands.oldlogs import LogReader, NoBeacon, Unreadable
from pipeline.commands.putting import MOST_LINES, NotTaken, Putter, Ready
from pipeline.commands.times import shown

UNREADABLE_SHOWN = 5


@dataclass(slots=True)
class Found:
    """What a file holds.

    Attributes:
        low, high: receive times of its beacons, Unix ms.
        others: readable lines without a beacon, by why.
    """

    beacons: int = 0
    low: int = 2**62
    high: int = 0
    others: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rate", type=click.IntRange(1), default=5_000, show_default=True, help="Beacons a second, at most.")
@click.option("--dry-run", is_flag=True, help="Only read the files and say what is in them.")
def import_(files: tuple[Path, ...], rate: int, dry_run: bool) -> None:
    """Put old beacon logs into the line; every line counts in the windows of its own time, once.

    \b
    A line is one of these, known by its beginning; .gz is unpacked:
      {"v":1,...}         a beacon line, as topic beacons and `export` have them; keeps its record id
      {"time":...,"query":"..."}   Unix seconds, Unix ms or ISO 8601; also path, method, address, agent,
                          referer, type, body
      203.0.113.9 - - [23/Nov/2026:10:00:00 +0000] "GET /api_v3/index.php?... HTTP/1.1" 200 10 "..." "..."
                          a web server's combined log: requests to /api_v3/index.php or /collect that were
                          answered 2xx or 3xx; it holds no bodies, so a POST counts by its query alone

    Running it again, with the same files or ones that overlap them, changes nothing: a line's record id is a
    digest of the line and of its how-manieth it is in its file, and topic imports remembers every id that was
    put. What an import that was killed had put is looked for in topic beacons: run it again within that topic's
    retention, else the lines in doubt are taken as put, and told. What is not remembered is what the line received
    by itself longer than the dedupe horizon ago: do not import a log of beacons that were counted live.

    Windows that are over their retention by now are not counted any more: only the longer ones get the beacon.
    Addresses are cut to /24 and /48. Takes about 100 bytes of memory a line of the largest file.

    The files are read twice, so they must be files, no pipes, and stay as they are meanwhile.

    Exits with 1 if a line could not be read; the others are put all the same. Nothing is put if a file ends or is
    damaged in the middle of what is packed.
    """
    broker = Broker.from_environment()
    _refuse_pipes(files)
    found = [_look(path) for path in files]
    for path, file in zip(files, found, strict=True):
        click.echo(_told(path, file))
    unreadable = sum(file.unreadable for file in found)
    beacons = sum(file.beacons for file in found)
    if beacons:
        _warn_of_expired(min(file.low for file in found))
    if beacons and not dry_run:
        low, high = min(file.low for file in found), max(file.high for file in found)
        try:
            put, before = _put(broker, files, beacons, low, high, rate)
        except NotTaken as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"put {put} beacons, {before} were put before")
        if put + before != beacons:
            raise click.ClickException(
                f"the files held {beacons} beacons when looked at and {put + before} when put: run this again, "
                "nothing is put twice"
            )
    if unreadable:
        raise click.ClickException(f"{unreadable} lines could not be read")


def _refuse_pipes(files: tuple[Path, ...]) -> None:
    """End in one line where a file can be read only once: the second reading would find nothing to put."""
    for path in files:
        if not path.is_file():
            raise click.ClickException(f"{path} is no regular file: write it to one first, import reads it twice")


def _put(broker: Broker, files: tuple[Path, ...], beacons: int, low: int, high: int, rate: int) -> tuple[int, int]:
    putter = Putter(broker)
    putter.begin(low, high)
    partitions = len(broker.partitions(broker.topics.beacons))
    put = before = 0
    chunk: list[Ready] = []
    size = min(rate, MOST_LINES)
    began = time.monotonic()
    hidden = not sys.stderr.isatty()
    bar: Any
    with click.progressbar(length=beacons, label="importing", file=sys.stderr, show_eta=True, hidden=hidden) as bar:

        def flush() -> None:
            nonlocal put, before
            done = putter.put(chunk)
            put, before = put + done.put, before + done.before
            bar.update(len(chunk))
            chunk.clear()
            # Only what is new burdens the workers.
            time.sleep(max(0.0, began + put / rate - time.monotonic()))

        for path in files:
            for beacon, line in _beacons(path, Found()):
                chunk.append(Ready(beacon.id, beacon.time, partition_of(beacon, partitions), line))
                if len(chunk) >= size:
                    flush()
        flush()
    return put, before


def _look(path: Path) -> Found:
    """Read a whole file: nothing is put before all of it is known."""
    found = Found()
    for beacon, _ in _beacons(path, found, tell=True):
        found.beacons += 1
        found.low, found.high = min(found.low, beacon.time), max(found.high, beacon.time)
    return found


def _beacons(path: Path, found: Found, tell: bool = False) -> Iterator[tuple[Beacon, bytes]]:
    reader = LogReader()
    for number, raw in _lines(path):
        line = raw.rstrip(b"\r\n")
        if not line:
            continue
        try:
            yield reader.read(line)
        except NoBeacon as other:
            found.others[str(other)] += 1
        except Unreadable as error:
            found.unreadable += 1
            if tell and found.unreadable <= UNREADABLE_SHOWN:
                click.echo(f"{path}, line {number}: {error}", err=True)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, numbered from 1; end in one line where it cannot be read on."""
    number = 0
    try:
        with closing(_open(path)) as file:
            for number, raw in enumerate(file, 1):
                yield number, raw
    except (EOFError, OSError, zlib.error) as error:
        raise click.ClickException(f"{path}, line {number + 1} cannot be read: {error}") from error


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _told(path: Path, found: Found) -> str:
    others = "".join(f", {count} lines without one ({why})" for why, count in found.others.items())
    unreadable = f", {found.unreadable} UNREADABLE" if found.unreadable else ""
    if not found.beacons:
        return f"{path}: no beacons{others}{unreadable}"
    times = f"{shown(found.low)} to {shown(found.high)} UTC"
    return f"{path}: {found.beacons} beacons, {times}{others}{unreadable}"


def _warn_of_expired(low_ms: int) -> None:
    gone = [window.name for window in WINDOWS if low_ms // 1000 + window.seconds + window.keep_seconds < time.time()]
    if gone:
        click.echo(f"windows {', '.join(gone)} are not kept that long: beacons past their retention are not in them")
