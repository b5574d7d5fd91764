"""`verify`: count a range of time again from the beacons, and compare with the rows, one by one."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import click

from pipeline.app import rules_of
from pipeline.batch import is_position_key
from pipeline.commands.broker import Broker, Offsets
from pipeline.commands.comparing import (
    Difference,
    Place,
    add_up,
    differences,
    found_rows,
    in_order,
    still_kept,
    wanted_rows,
)
from pipeline.commands.progress import Progress
from pipeline.commands.recount import Range, Recount
from pipeline.commands.report_rows import read_report
from pipeline.commands.times import INSTANT, shown
from pipeline.config import WorkerSettings, read_settings
from pipeline.rows import Rules
from pipeline.windows import Counts

# How far a clock of ingest may be from the broker's: the log is read from so much earlier.
CLOCK_SLACK_S = 2 * 3600
# How far the two usually are apart.
CLOCKS_APART_S = 10


@dataclass(frozen=True, slots=True)
class Log:
    """The part of topic `beacons` that is read.

    Attributes:
        cut_at: Unix seconds; what Kafka took in before is gone from some partition. 0: nothing is gone.
    """

    begin: Offsets
    end: Offsets
    cut_at: int


@click.command()
@click.option("--from", "from_", type=INSTANT, default=0, help="Windows that start at this time or later.")
@click.option("--to", type=INSTANT, help="Windows that end at this time or earlier. Default: now.")
@click.option("--partner", help="Only this partnerId.")
@click.option(
    "--report", "url", help="Compare with what this report (http://host:port) answers, not with topic windows."
)
@click.option("--key", envvar="REPORT_KEY", help="The report's key, where it asks for one (REPORT_KEY).")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Differences shown; 0: all.")
def verify(from_: int, to: int | None, partner: str | None, url: str | None, key: str | None, limit: int) -> None:
    """Count a range of time again from topic beacons, and compare every row.

    Its own plain fold shares with the worker only what a beacon means. It counts exactly the beacons that the
    rows say they include, so it may run beside live traffic. A window counts if it lies whole in the range and
    its retention is not over. A million beacons take two or three minutes of one core; one partition at a time is in
    memory, with --report all rows.

    Beacons are kept for 7 days: windows from before the log's start cannot be counted again, and are left out.
    The log is read from a dedupe horizon before the range on, so that a repeat is known for one.

    Exits with 1 if any row differs.
    """
    began = time.monotonic()
    broker = Broker.from_environment()
    worker = read_settings(WorkerSettings)
    rules = rules_of(broker.line, worker)
    log = _log(broker, from_, rules.dedupe_horizon_s)
    if log.cut_at > from_:
        click.echo(
            f"topic beacons begins at {shown(log.cut_at * 1000)} UTC: earlier windows are left out, and a repeat of "
            f"an earlier beacon shows as a difference until {shown((log.cut_at + rules.dedupe_horizon_s) * 1000)} UTC"
        )
    range_ = Range(max(from_, log.cut_at), to if to is not None else int(time.time()), partner)
    # Millions of small objects, and no cycles among them: looking for some would take a third of the time.
    gc.disable()
    if url is None:
        compared = _compare_topic(broker, log, rules, range_)
    else:
        compared = _compare_report(broker, log, rules, range_, url, key)
    for number, difference in enumerate(compared.wrong):
        if not limit or number < limit:
            click.echo(_line(difference, rules))
    click.echo(
        f"{compared.beacons} beacons of {len(log.begin)} partitions counted again in {time.monotonic() - began:.1f} s, "
        f"{compared.rows} rows compared with {url or broker.topics.windows}: "
        + (f"{len(compared.wrong)} DIFFER" if compared.wrong else "all equal")
    )
    if compared.wrong:
        raise SystemExit(1)


def _log(broker: Broker, from_: int, horizon_s: int) -> Log:
    """Return what is to be read of topic `beacons`."""
    topic = broker.topics.beacons
    first, end = broker.starts(topic), broker.ends(topic)
    begin = broker.at(topic, (from_ - horizon_s - CLOCK_SLACK_S) * 1000)
    cut = {part: offset for part, offset in first.items() if 0 < offset < end[part]}
    # Where all is gone, nothing that was counted until now can be counted again.
    cut_at = int(time.time()) if any(0 < first[part] == end[part] for part in first) else 0
    for messages in broker.read(topic, cut, {part: offset + 1 for part, offset in cut.items()}):
        for message in messages:
            # A window must begin after the oldest record that is left, on every partition.
            cut_at = max(cut_at, message.timestamp()[1] // 1000 + CLOCKS_APART_S)
    return Log(begin, end, cut_at)


@dataclass(slots=True)
class _Compared:
    """What was compared so far."""

    beacons: int = 0
    rows: int = 0
    wrong: list[Difference] = field(default_factory=list)

    def take(self, wanted: Mapping[Place, Counts], found: Mapping[Place, Counts]) -> None:
        self.rows += len(wanted.keys() | found.keys())
        self.wrong += differences(wanted, found)


def _compare_topic(broker: Broker, log: Log, rules: Rules, range_: Range) -> _Compared:
    """Compare with topic `windows`, partition by partition: each has its own beacons and rows."""
    compared = _Compared()
    with Progress("counting beacons", log.begin, log.end) as progress:
        for part in sorted(log.begin):
            _compare_partition(broker, log, part, rules, range_, compared, progress)
    compared.wrong = in_order(compared.wrong)
    return compared


def _compare_partition(
    broker: Broker, log: Log, part: int, rules: Rules, range_: Range, compared: _Compared, progress: Progress
) -> None:
    """Compare one; a function of its own, so that nothing of it is left in memory beside the next."""
    end = broker.ends(broker.topics.windows, committed=True)[part]
    positions = broker.positions({part: end})
    now_s = {number: position.time / 1000 for number, position in positions.items()}
    found = found_rows(_rows(broker, range_, {part: end}), rules, range_, now_s)
    counted = positions[part].offset + 1 if part in positions else 0
    recount = _recount(broker, log, part, counted, rules, range_, progress)
    compared.beacons += recount.outcomes["beacons"]
    compared.take(wanted_rows({part: recount}, now_s, found), found)


def _compare_report(broker: Broker, log: Log, rules: Rules, range_: Range, url: str, key: str | None) -> _Compared:
    """Compare with what a report answers: rows summed over partitions."""
    # The report's rows first: what it shows is counted up to the log's end when it is asked after that.
    end = broker.ends(broker.topics.beacons)
    found = read_report(url, key, rules, range_, until_counted=time.time())
    # A row whose retention ends while the report is asked may be in its answers or not, and was not asked for where
    # it ended before, however far back its partition's own time is: what is over by now is compared on neither side.
    now_s = time.time() + CLOCKS_APART_S
    compared, wanted = _Compared(), dict[Place, Counts]()
    with Progress("counting beacons", log.begin, end) as progress:
        for part in sorted(log.begin):
            recount = _recount(broker, log, part, end[part], rules, range_, progress)
            compared.beacons += recount.outcomes["beacons"]
            add_up(wanted, wanted_rows({part: recount}, {part: now_s}))
    compared.take(wanted, still_kept(found, rules, now_s))
    return compared


def _rows(broker: Broker, range_: Range, ends: Offsets) -> dict[bytes, bytes]:
    """Return the last value of every row that was written since the range began."""
    topic = broker.topics.windows
    begin = broker.at(topic, (range_.begin - CLOCK_SLACK_S) * 1000)
    rows: dict[bytes, bytes] = {}
    for messages in broker.read(topic, {part: begin[part] for part in ends}, ends):
        for message in messages:
            row_key, value = message.key(), message.value()
            if is_position_key(row_key):
                continue
            if value is None:
                rows.pop(row_key, None)
            else:
                rows[row_key] = value
    return rows


def _recount(broker: Broker, log: Log, part: int, end: int, rules: Rules, range_: Range, progress: Progress) -> Recount:
    """Count the beacons of a partition of the log, up to an offset, again."""
    recount = Recount(rules, range_)
    for messages in broker.read(broker.topics.beacons, {part: log.begin[part]}, {part: end}):
        for message in messages:
            recount.take(message.value() or b"")
        progress.read(messages)
    return recount


def _line(difference: Difference, rules: Rules) -> str:
    partition, (index, number, start, values) = difference.place
    kept = rules.shape.sets[number].set
    where = "" if partition < 0 else f", partition {partition}"
    whose = ", ".join(f"{name} {value}" for name, value in zip(kept.dimensions, values, strict=True))
    head = f"{rules.shape.windows[index].name} {shown(start * 1000)} UTC, {whose}{where}: "
    if not difference.is_:
        return head + f"there is no such row, it must be {difference.must_be}"
    if not difference.must_be:
        return head + f"is {difference.is_}, there must be no such row"
    return head + "; ".join(_metrics(difference))


def _metrics(difference: Difference) -> Iterator[str]:
    for name in sorted(difference.must_be.keys() | difference.is_.keys()):
        must_be, is_ = difference.must_be.get(name, 0), difference.is_.get(name, 0)
        if must_be != is_:
            yield f"{name} is {is_}, must be {must_be}"
