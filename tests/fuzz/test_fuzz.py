"""Twenty seconds a target, guided by coverage; FUZZ_SECONDS makes it longer, SEED different."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingest import frames
from ingest.beacon import Beacon
from pipeline.event import EventReader
from tests.fuzz import targets
from tests.fuzz.targets import TARGETS, seeds

REPO = Path(__file__).parents[2]
SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))
SEED = os.environ.get("SEED", "1")


@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_that_coverage_leads_to_break_a_promise(target: str, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.fuzz", target, "--seconds", str(SECONDS), "--seed", SEED)
    # The working folder is where an input that broke a promise is left.
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS + 120
    )
    assert done.returncode == 0, done.stderr[-4000:]
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert runs is not None, done.stderr[-2000:]
    print(f"{target}: {runs[1]} inputs in {SECONDS} s, none broke a promise")
    assert int(runs[1]) > len(list(seeds(target)))


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_to_begin_with_keeps_the_promises(target: str) -> None:
    for raw in seeds(target):
        TARGETS[target](raw)


# -- a fault planted in what is fuzzed turns its target red


def test_a_reader_that_trips_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(targets._PARTITION, "_read_event", trip)
    for target in ("line", "request"):
        with pytest.raises(AssertionError, match="the reader trips"):
            TARGETS[target](b"Geve")


def test_a_neighbour_that_changes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    read, numbers = targets._PARTITION._read_event, iter(range(100))

    def drifting(raw: bytes) -> Any:
        event = read(raw)
        event.type = next(numbers)
        return event

    monkeypatch.setattr(targets._PARTITION, "_read_event", drifting)
    with pytest.raises(AssertionError, match="a neighbour is another one"):
        TARGETS["line"](b"")


def test_a_session_that_ingest_reads_otherwise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def loud(beacon: Beacon) -> bytes:
        return b"another"

    monkeypatch.setattr(targets, "session_of", loud)
    with pytest.raises(AssertionError, match="two sessions"):
        TARGETS["request"](next(seeds("request")))


def test_bytes_that_change_on_their_way_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "decode", lambda line: Beacon("i-1", 1))
    with pytest.raises(AssertionError, match="not what came"):
        TARGETS["request"](next(seeds("request")))


def test_a_frame_that_is_passed_over_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def short_sighted(data: bytes) -> frames.Reading:
        reading = frames.read_frames(data)
        return frames.Reading(reading.frames[1:], reading.end, reading.damaged, reading.repeated)

    monkeypatch.setattr(targets, "read_frames", short_sighted)
    with pytest.raises(AssertionError, match="lost"):
        TARGETS["spool"](b"\x00garbage")


def test_what_is_fuzzed_is_what_runs() -> None:
    assert targets._PARTITION._read_event.__func__ is EventReader.read  # type: ignore[attr-defined]
