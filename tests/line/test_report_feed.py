"""The feed: every record reaches the file, whatever comes beside it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from pipeline.report.feed import Applied, Feed
from pipeline.report.readmodel import ReadModel
from pipeline.report.record import Record
from tests.line.report_stage import FakeSource, T, row_key


class Polls(FakeSource):
    """A topic whose records come in the portions that a test cut them into."""

    portions: list[list[Record]]

    def poll(self) -> list[Record]:
        if self.portions:
            return self.portions.pop(0)
        self.at_end = True
        return []


def rows(part: int, first: int, count: int) -> list[Record]:
    return [
        Record(part, first + n, row_key(str(part), "x", T + 60 * (first + n), partition=part), b'{"plays":1}')
        for n in range(count)
    ]


def position(part: int, at: int) -> Record:
    return Record(part, at, b'{"position":%d}' % part, b'{"offset":9,"time":1,"ledger":{}}')


def carry(source: FakeSource, path: Path) -> Applied:
    """Carry all that a source has into a file."""
    seen: list[Applied] = []
    feed = Feed(source, ReadModel(path), seen.append)
    feed.start()
    while not seen or not seen[-1].complete:
        assert feed.alive()
    feed.stop()
    return seen[-1]


def kept(path: Path) -> dict[str, int]:
    """Return how many rows of each partner the file holds."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT partnerId FROM rows_entry_1m").fetchall()
    connection.close()
    return Counter(partner for (partner,) in found)


def test_a_checkpoint_that_ends_beside_a_very_large_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    #  p0: 60 rows ........ | position     more than a checkpoint should have: let through as they are
    #  p1: 5 rows position  | 1 row position     whole in the same poll, and gone on with after it
    monkeypatch.setattr("pipeline.report.feed.LARGEST_CHECKPOINT", 50)
    source = Polls(ends={0: 61, 1: 8})
    source.portions = [
        rows(0, 0, 60) + rows(1, 0, 5) + [position(1, 5)],
        [position(0, 60)],
        [*rows(1, 6, 1), position(1, 7)],
    ]
    carry(source, tmp_path / "report.sqlite")
    assert kept(tmp_path / "report.sqlite") == {"0": 60, "1": 6}
