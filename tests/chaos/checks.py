"""The checkers: pure, so that each can be shown to turn red (test_checkers.py). Each returns one line a finding."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.chaos.sending import Beacon
from tests.chaos.topics import Beacons, Windows
from tests.e2e.reading import differences
from tests.e2e.sender import Outcome
from tests.e2e.table import COUNTED, METRICS, Stored, Table, milliseconds, parameters, table_of

SHOWN = 12


@dataclass(slots=True)
class Verdict:
    """What the checkers found.

    Attributes:
        lost: distinct beacons answered 200 that are not counted. doubled: counted more than once.
        findings: one line each, with the stage.
    """

    lost: int
    doubled: int
    findings: list[str]


def judge(outcomes: Mapping[Beacon, Outcome], beacons: Beacons, windows: Windows, report: Table) -> Verdict:
    """Compare journal, topic beacons, topic windows and the report, stage by stage."""
    stored, wanted = beacons.stored, table_of(beacons.stored)
    sums = _sums(report)
    bounds = bounds_of(outcomes)
    findings = ingest_stage(outcomes, stored)
    findings += worker_stage(beacons, wanted, windows)
    if windows.table != report:
        findings += ["report: its rows are not those of topic windows", *differences(windows.table, report)]
    elif wanted != report:
        findings += ["worker: its rows are not what topic beacons holds", *differences(wanted, report)]
    findings += within(bounds, sums)
    lost = sum(_short(low, sums[entry]) for entry, (low, _) in bounds.items())
    doubled = sum(_short(sums[entry], high) for entry, (_, high) in bounds.items())
    return Verdict(lost, doubled, findings)


def ingest_stage(outcomes: Mapping[Beacon, Outcome], stored: Iterable[Stored]) -> list[str]:
    """Return what ingest lost, and what it stored although it had refused it."""
    kept = {(beacon.query, beacon.body) for beacon in stored}
    lost = [key for key, found in outcomes.items() if found is Outcome.ACKED and key not in kept]
    ghosts = [key for key, found in outcomes.items() if found is Outcome.FAILED and key in kept]
    foreign = [key for key in kept if key not in outcomes]
    lines = [f"ingest: answered 200, not in topic beacons: {key}" for key in lost]
    lines += [f"ingest: refused, yet in topic beacons: {key}" for key in ghosts]
    lines += [f"ingest: in topic beacons, never sent so: {key}" for key in foreign]
    return lines[:SHOWN] + ([f"... {len(lines)} beacons"] if len(lines) > SHOWN else [])


def worker_stage(beacons: Beacons, wanted: Table, windows: Windows) -> list[str]:
    """Return where the worker's own ledger differs from the lines of topic beacons: read, deduped, folded."""
    lines, identities = len(beacons.stored), set()
    for beacon in beacons.stored:
        given = parameters(beacon.query, beacon.type, beacon.body)
        identities.add(tuple(given.get(name, "") for name in _IDENTITY))
    # Which types the catalog knows is its own affair: known or not, each is counted once.
    ledger = windows.ledger + Counter(first=windows.ledger["unique"] + windows.ledger["unknownTypes"])
    must = {
        "beacons": lines + beacons.unreadable,
        "rejected": beacons.unreadable,
        "first": len(identities),
        "duplicates": lines - len(identities),
    }
    stages = dict.fromkeys(must, "dedupe") | {"beacons": "read", "rejected": "read"}
    found = [
        f"worker, {stages[name]}: its ledger says {ledger[name]} {name}, must be {number}"
        for name, number in must.items()
        if ledger[name] != number
    ]
    if not found and windows.table != wanted:
        found = ["worker, fold: its ledger is right and its rows are not"]
    return found


_IDENTITY = ("partnerId", "sessionId", "eventIndex", "entryId", "eventType", "sessionStartTime")

Bounds = dict[str, tuple[Counter[str], Counter[str]]]


def bounds_of(outcomes: Mapping[Beacon, Outcome]) -> Bounds:
    """Return per entry the least and the most that may be counted: what is acked, and that with the unknown."""
    bounds: Bounds = defaultdict(lambda: (Counter(), Counter()))
    for (query, body), outcome in outcomes.items():
        kind = "application/json" if body.startswith(b"{") else "application/x-www-form-urlencoded"
        given = parameters(query, kind, body)
        if outcome is Outcome.FAILED or given["eventType"] not in COUNTED:
            continue
        amounts = {COUNTED[given["eventType"]]: 1}
        if given["eventType"] == "99":
            amounts["bufferTime"] = milliseconds(given.get("bufferTime", ""))
        low, high = bounds[given["entryId"]]
        high.update(amounts)
        if outcome is Outcome.ACKED:
            low.update(amounts)
    return bounds


def within(bounds: Bounds, sums: Mapping[str, Counter[str]]) -> list[str]:
    """Return every entry and metric that is not between what was acked and what may be; by the journal alone."""
    lines = [
        f"{entry} {name}: acked {low[name]}, at most {high[name]}, is {sums[entry][name]}"
        for entry, (low, high) in sorted(bounds.items())
        for name in METRICS
        if not low[name] <= sums[entry][name] <= high[name]
    ]
    lines += [f"{entry}: counted, never sent" for entry in sums.keys() - bounds.keys() if sums[entry].total()]
    return lines[:SHOWN] + ([f"... {len(lines)} cells"] if len(lines) > SHOWN else [])


def shrunk(before: Table, now: Table) -> list[str]:
    """Return every row that became smaller from one reading to the next."""
    nothing = dict.fromkeys(METRICS, 0)
    lines = []
    for key, row in before.items():
        found = now.get(key, nothing)
        lines += [f"{key} {name}: {row[name]} became {found[name]}" for name in METRICS if found[name] < row[name]]
    return lines


def claimed_too_early(acked: Mapping[str, int], report: Table) -> list[str]:
    """Return the entries with more beacons answered 200 before countedThrough than the report counts."""
    sums = _sums(report)
    found = {entry: sum(sums[entry][name] for name in COUNTED.values()) for entry in acked}
    return [
        f"{entry}: {number} answered 200 before countedThrough, {found[entry]} counted"
        for entry, number in sorted(acked.items())
        if found[entry] < number
    ]


def _sums(table: Table) -> dict[str, Counter[str]]:
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for (window, _, _, entry), row in table.items():
        if window == "1h" and entry is not None:
            sums[entry].update(row)
    return sums


def _short(wanted: Counter[str], found: Counter[str]) -> int:
    return sum(max(0, wanted[name] - found[name]) for name in COUNTED.values())
