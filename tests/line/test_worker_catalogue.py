"""The whole catalogue of bad input from the socket to the rows: what ingest stored, the worker counts as it says."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.event import read_event
from pipeline.parameters import Rejected
from tests.line.catalogue import CASES, Case, Outcome
from tests.line.ingest_line import ingest_line
from tests.pipeline.life import living

Totals = dict[str, int]


async def _lines(folder: Path, cases: list[Case]) -> list[list[bytes]]:
    """Return what ingest stored of each case, in order."""
    async with ingest_line(folder) as line:
        stored = []
        for case in cases:
            before = len(line.kafka.records)
            for request in case.requests:
                await line.send(request)
            stored.append([one for _, value in line.kafka.records[before:] for one in value.split(b"\n")])
        return stored


def _reason(line: bytes) -> str:
    try:
        read_event(line)
    except Rejected as rejected:
        return rejected.reason.value
    return ""


@pytest.fixture
async def stored(tmp_path: Path) -> list[tuple[Case, list[bytes]]]:
    return list(zip(CASES, await _lines(tmp_path, CASES), strict=True))


def _totals(records: list[bytes]) -> tuple[dict[str, Totals], dict[str, int], list[dict[str, object]]]:
    """Count records; return what each partner has, the ledger and the dead letters."""
    with living(log=[]) as life:
        life.log, life.now_s = records, time.time()
        life.finish()
        totals: dict[str, Counter[str]] = {}
        for (window, _, partner, entry), counts in life.table().items():
            if window == "1h" and entry is None:
                totals.setdefault(partner, Counter()).update(counts)
        return {of: dict(counts) for of, counts in totals.items()}, life.kafka.position().ledger, life.kafka.letters()


async def test_every_case_is_counted_as_the_catalogue_says(stored: list[tuple[Case, list[bytes]]]) -> None:
    totals, ledger, letters = _totals([line for _, lines in stored for line in lines])
    found, wanted = {}, {}
    for case, _ in stored:
        if case.partner:
            counts = totals.get(str(case.partner), {})
            name = f"{case.row} {case.name}"
            found[name] = tuple(counts.get(metric, 0) for metric in ("plays", "views", "bufferTime"))
            wanted[name] = case.plays, case.views, case.buffer_ms
    assert found == wanted
    beacons = sum(len(lines) for _, lines in stored)
    rejected = sum(bool(_reason(line)) for _, lines in stored for line in lines)
    assert (ledger["beacons"], ledger["rejected"], len(letters)) == (beacons, rejected, rejected)
    assert beacons == ledger["unique"] + ledger["duplicates"] + ledger["unknownTypes"] + ledger["rejected"]


async def test_exactly_the_cases_of_the_quarantine_are_dead_letters(stored: list[tuple[Case, list[bytes]]]) -> None:
    found = {f"{case.row} {case.name}": bool(lines) and _reason(lines[-1]) != "" for case, lines in stored}
    assert found == {f"{case.row} {case.name}": case.outcome is Outcome.QUAR for case in CASES}


async def test_the_catalogue_twice_counts_once_but_for_what_has_no_session_or_index(tmp_path: Path) -> None:
    once = await _lines(tmp_path / "a", CASES)
    again = await _lines(tmp_path / "b", CASES)
    first, _, _ = _totals([line for lines in once for line in lines])
    both, _, _ = _totals([line for lines in once + again for line in lines])
    more = {partner for partner in both if both[partner] != first[partner]}
    unnamed = {
        str(case.partner) for case in CASES if case.row in (32, 33, 34, 52, 55) and case.outcome is Outcome.COUNT
    }
    assert more == unnamed
