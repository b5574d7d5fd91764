"""The tester is tested: each of five mutations of a run without fault turns a checker red."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ingest.segments import Segments
from tests.chaos import checks
from tests.chaos.sending import Beacon
from tests.chaos.topics import Beacons, Windows
from tests.e2e.sender import Outcome
from tests.e2e.table import COUNTED, Stored, Table, parameters, table_of
from tests.e2e.traffic import Request, traffic

NOON = 1_795_435_200_000


def stored_of(requests: list[Request]) -> list[Stored]:
    """Return what ingest stores of these requests: a second between two, one partition."""
    return [
        Stored(0, place, f"x-{place}", NOON + place * 1000, "/api_v3/index.php", *_parts(request))
        for place, request in enumerate(requests)
    ]


def _parts(request: Request) -> tuple[bytes, str, bytes]:
    return request.query.encode(), request.type, request.body.encode()


def ledger_of(stored: list[Stored]) -> Counter[str]:
    """Return the ledger of a worker that counted these."""
    seen = {(beacon.query, beacon.body): beacon for beacon in stored}
    kinds = Counter(
        "unique" if parameters(one.query, one.type, one.body)["eventType"] in COUNTED else "unknownTypes"
        for one in seen.values()
    )
    return Counter({"beacons": len(stored), "duplicates": len(stored) - len(seen), **kinds})


@pytest.fixture
def requests() -> list[Request]:
    return traffic(1, 400, 0.1, entries=6)


@pytest.fixture
def beacons(requests: list[Request]) -> Beacons:
    return Beacons(stored_of(requests), 0)


@pytest.fixture
def journal(requests: list[Request]) -> dict[Beacon, Outcome]:
    return dict.fromkeys((request.key for request in requests), Outcome.ACKED)


def judged(journal: dict[Beacon, Outcome], beacons: Beacons, report: Table) -> checks.Verdict:
    return checks.judge(journal, beacons, Windows(report, ledger_of(beacons.stored)), report)


def test_a_run_without_fault_is_green(journal: dict[Beacon, Outcome], beacons: Beacons) -> None:
    assert judged(journal, beacons, table_of(beacons.stored)) == checks.Verdict(0, 0, [])


def test_dropping_one_ack_turns_a_checker_red(journal: dict[Beacon, Outcome], beacons: Beacons) -> None:
    """Ingest answered 200 for a beacon that it did not keep."""
    at = next(n for n, one in enumerate(beacons.stored) if b"eventType=3&" in one.query)
    dropped = beacons.stored[at]
    kept = Beacons([one for one in beacons.stored if (one.query, one.body) != (dropped.query, dropped.body)], 0)
    found = judged(journal, kept, table_of(kept.stored))
    assert found.lost == 1
    assert found.findings[0].startswith("ingest: answered 200, not in topic beacons")


def test_doubling_one_delta_turns_a_checker_red(journal: dict[Beacon, Outcome], beacons: Beacons) -> None:
    """The worker added one event to its rows twice."""
    table = table_of(beacons.stored)
    one = next(one for one in beacons.stored if b"eventType=99" in one.query)
    entry = parameters(one.query, one.type, one.body)["entryId"]
    for key, row in table.items():
        if key[0] == "1h" and key[3] == entry:
            row["views"] += 1
    found = judged(journal, beacons, table)
    assert (found.lost, found.doubled) == (0, 1)
    assert found.findings[0] == "worker, fold: its ledger is right and its rows are not"


def test_swapping_two_partners_turns_a_checker_red(journal: dict[Beacon, Outcome], beacons: Beacons) -> None:
    """One partner's rows were given to the other, all numbers as they were."""
    swap = {"101": "202", "202": "101"}
    table = {
        (window, start, swap.get(partner, partner), entry): row
        for (window, start, partner, entry), row in table_of(beacons.stored).items()
    }
    assert judged(journal, beacons, table).findings[0] == "worker, fold: its ledger is right and its rows are not"


def test_ignoring_one_fence_turns_a_checker_red(journal: dict[Beacon, Outcome], beacons: Beacons) -> None:
    """A zombie wrote the partition's rows as they were before its successor counted on."""
    half = table_of(beacons.stored[: len(beacons.stored) // 2])
    now = table_of(beacons.stored)
    assert checks.shrunk(now, now | half) != []
    found = judged(journal, beacons, now | half)
    assert found.lost > 0
    assert found.findings[0] == "worker, fold: its ledger is right and its rows are not"


# Of how many syncs the last one is skipped.
SKIPPED = 20


def test_skipping_one_fsync_turns_a_checker_red(
    journal: dict[Beacon, Outcome], beacons: Beacons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool acknowledged frames that it had not synced; then the power went, and what was not synced with it."""
    syncs = 0
    synced: dict[int, int] = {}

    def fdatasync(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == SKIPPED:
            return
        synced[syncs] = sum(path.stat().st_size for path in tmp_path.glob("*.seg"))

    monkeypatch.setattr("ingest.segments.os.fdatasync", fdatasync)
    segments = Segments(tmp_path, 1 << 24)
    distinct = list({(one.query, one.body): one for one in beacons.stored}.values())
    acked: list[Stored] = []
    for one in distinct[:SKIPPED]:
        segments.append([(NOON, 0, 1, json.dumps(len(acked)).encode())])
        acked.append(one)
    (file,) = tmp_path.glob("*.seg")
    with file.open("r+b") as power_cut:
        power_cut.truncate(max(synced.values()))

    recovered = Segments(tmp_path, 1 << 24)
    recovered.recover()
    oldest = recovered.oldest()
    assert oldest is not None
    kept = [distinct[json.loads(frame.value)] for frame in recovered.read(oldest).frames]
    answered = {(one.query, one.body): Outcome.ACKED for one in acked}
    found = checks.ingest_stage(answered, kept)
    assert len(found) == 1
    assert found[0].startswith("ingest: answered 200, not in topic beacons")


def test_a_claim_before_its_time_is_seen(beacons: Beacons) -> None:
    """countedThrough passed a beacon that no row holds."""
    one = next(one for one in beacons.stored if b"eventType=3&" in one.query)
    entry = parameters(one.query, one.type, one.body)["entryId"]
    without = [other for other in beacons.stored if (other.query, other.body) != (one.query, one.body)]
    seen = {(other.query, other.body): other for other in beacons.stored}.values()
    acked = Counter(
        given["entryId"]
        for other in seen
        if (given := parameters(other.query, other.type, other.body))["eventType"] in COUNTED
    )
    assert checks.claimed_too_early(acked, table_of(beacons.stored)) == []
    (found,) = checks.claimed_too_early(acked, table_of(without))
    assert found.startswith(f"{entry}: ")
