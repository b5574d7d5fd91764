"""`verify --report` compares what the line and the report both still keep: no correct line differs at that edge."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from pipeline.catalog import METRICS, SETS, WINDOWS, Window
from pipeline.commands import report_rows, verify
from pipeline.commands.recount import Range, Recount
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.pipeline.lines import NOON, play

RULES = Rules(Shape.of(WINDOWS, SETS[:1]))
KEEP_S = WINDOWS[0].seconds + WINDOWS[0].keep_seconds


class Clock:
    """The time of whoever asks; a report that is slow moves it."""

    def __init__(self) -> None:
        self.now = float(NOON)

    def time(self) -> float:
        return self.now


class Log:
    """Kafka as `verify` asks it: one partition whose beacons are these lines."""

    topics = SimpleNamespace(beacons="beacons", windows="windows")

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self.whole: Any = verify.Log({0: 0}, {0: len(lines)}, 0)

    def ends(self, topic: str) -> dict[int, int]:
        return {0: len(self._lines)}

    def positions(self) -> dict[int, Any]:
        return {0: SimpleNamespace(time=max(orjson.loads(line)["time"] for line in self._lines))}

    def read(self, topic: str, begin: Any, end: Any) -> Iterator[list[Any]]:
        yield [
            SimpleNamespace(value=lambda line=line: line, partition=lambda: 0, offset=lambda at=at: at)
            for at, line in enumerate(self._lines)
        ]


def compared(lines: list[bytes], monkeypatch: pytest.MonkeyPatch, asking_s: float = 0) -> list[Any]:
    """Return what differs where a report shows every row that it must; it takes so long to answer."""
    clock = Clock()
    truth = Recount(RULES, Range(0, 4_000_000_000))
    for line in lines:
        truth.take(line)

    class Site:
        def __init__(self, url: str, key: str | None) -> None:
            pass

        def wait_for(self, instant: float, window: Window) -> None:
            pass

        def rows(self, window: Window, by: Any, begin: int, end: int, partner: Any) -> Iterator[dict[str, Any]]:
            for (index, _, start, _), counts in truth.rows.items():
                if RULES.shape.windows[index] == window and begin <= start < end:
                    said = {one.name: counts.get(one.name, 0) for one in METRICS}
                    yield said | {"time": start, "partnerId": "4242"}
            clock.now += asking_s

    monkeypatch.setattr(report_rows, "_Site", Site)
    for module in (report_rows, verify):
        monkeypatch.setattr(module, "time", clock)
    log: Any = Log(lines)
    result = verify._compare_report(log, log.whole, RULES, Range(0, NOON + 3600), "http://report", None)
    assert result.rows > 0
    return result.wrong


def test_a_row_whose_retention_is_over_by_the_clock_is_not_missed_where_its_partition_is_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # By the newest beacon, a minute old, the play's row of 10 s is kept for another half a minute.
    lines = [play(1, time=NOON - KEEP_S - 30), play(2, time=NOON - 60, record_id="i-2")]
    assert compared(lines, monkeypatch) == []


def test_a_row_whose_retention_ends_while_the_report_is_asked_is_none_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [play(1, time=NOON - KEEP_S + 20), play(2, time=NOON + 60, record_id="i-2")]
    assert compared(lines, monkeypatch, asking_s=60) == []
