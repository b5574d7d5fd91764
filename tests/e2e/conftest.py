"""Every test has a line of its own on the broker of tests/conftest.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.broker import Broker
from tests.e2e.line import Line
from tests.pipeline.life import folder

_numbers = itertools.count(1)


@pytest.fixture
def line(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    """A line that nobody else uses; after a failure the ends of its logs are shown."""
    line = Line(broker.bootstrap, f"t{next(_numbers)}-", tmp_path / "line")
    try:
        yield line
    finally:
        if request.node.stash.get(FAILED, False):
            print(*line.logs(), sep="\n")
        line.close()


@pytest.fixture
def spools_in_memory(line: Line) -> Iterator[None]:
    """Give ingest a disk of its own, in memory: on the broker's disk a sync waits for the broker's own writing."""
    with folder() as path:
        line.spools = path
        line.settings["INGEST_SPOOL_MIN_FREE_MIB"] = "0"
        yield


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell the fixture whether the test failed."""
    report = yield
    if report.when == "call" and report.failed:
        item.stash[FAILED] = True
    return report
