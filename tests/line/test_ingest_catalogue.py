"""The whole catalogue of bad input over a raw socket: the answer, what is stored, and the neighbours unharmed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.line.catalogue import CASES, CLOSE, Case, Outcome
from tests.line.ingest_line import ingest_line

NEIGHBOUR = b"GET /collect?neighbour HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row}-{case.name}")
async def test_a_case_is_answered_as_the_catalogue_says(
    tmp_path: Path, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    async with ingest_line(tmp_path) as line:
        answers = [await line.send(request) for request in case.requests]
        neighbour = await line.send(NEIGHBOUR)
        *before, last = answers
        assert [answer and answer.status for answer in before] == [200] * len(before)
        assert (CLOSE if last is None else last.status) == case.status
        assert neighbour is not None
        assert neighbour.status == 200
        stored = 0 if case.outcome is Outcome.REFUSED else len(case.requests)
        queries = [beacon.query for beacon in line.kafka.beacons()]
        assert (len(queries), queries[-1]) == (stored + 1, b"neighbour")
        for answer in (answer for answer in answers if answer is not None):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cache-control"] == "no-store"
            assert "server" not in answer.headers
        ledger = line.process.ledger
        assert ledger.received == ledger.answered + sum(ledger.refused.values())
    assert [record for record in caplog.records if record.exc_info or record.levelno > logging.WARNING] == []


def test_the_catalogue_covers_every_row_that_bytes_can_show() -> None:
    only_time_or_place, floods = {6, 7, 16}, {108}
    assert {case.row for case in CASES} == set(range(1, 109)) - only_time_or_place - floods
