"""`import` puts every beacon of its files or says in one line why it did not."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.commands import putting
from pipeline.commands.broker import Broker
from pipeline.commands.importing import import_
from tests.pipeline.commands.kept_topics import KeptProducer, KeptTopics

WORDS = {"query": "service=analytics&eventType=3&partnerId=1&sessionId=a&eventIndex=1"}
LINES = b"".join(json.dumps({"time": 1_795_428_000 + number} | WORDS).encode() + b"\n" for number in range(5_000))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> KeptTopics:
    topics = KeptTopics(partitions=2)
    monkeypatch.setattr(putting, "Producer", lambda settings: KeptProducer(topics))
    monkeypatch.setattr(Broker, "from_environment", lambda: topics)
    return topics


def run(*paths: Path | str) -> Result:
    return CliRunner().invoke(import_, ["--rate", "1000000", *map(str, paths)])


def test_every_beacon_of_a_file_is_put_once(kept: KeptTopics, tmp_path: Path) -> None:
    path = tmp_path / "old.ndjson.gz"
    path.write_bytes(gzip.compress(LINES))
    said = [run(path) for _ in range(2)]
    assert [result.exit_code for result in said] == [0, 0]
    assert said[0].stdout.endswith("\nput 5000 beacons, 0 were put before\n")
    assert said[1].stdout.endswith("\nput 0 beacons, 5000 were put before\n")
    assert len(kept.lines()) == 5_000


def test_a_pipe_is_refused_since_it_can_be_read_once_only(kept: KeptTopics) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, LINES[:1_000])
        os.close(writing)
        result = run(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    said = f"Error: /dev/fd/{reading} is no regular file: write it to one first, import reads it twice\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", said)


@pytest.mark.parametrize(("change", "then"), [(lambda held: held[: len(held) // 2], 2_500), (lambda held: b"", 0)])
def test_a_file_that_changes_between_looking_and_putting_is_told(
    kept: KeptTopics, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: Callable[[bytes], bytes], then: int
) -> None:
    path = tmp_path / "old.ndjson"
    path.write_bytes(LINES)
    begin: Any = putting.Putter.begin

    def changing(putter: putting.Putter, low: int, high: int) -> None:
        begin(putter, low, high)
        path.write_bytes(change(LINES))

    monkeypatch.setattr(putting.Putter, "begin", changing)
    result = run(path)
    assert (result.exit_code, len([line for line in kept.lines() if line])) == (1, then)
    assert result.stderr == (
        f"Error: the files held 5000 beacons when looked at and {then} when put: run this again, nothing is put twice\n"
    )


PACKED = gzip.compress(LINES, mtime=0)


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (PACKED[: len(PACKED) // 2], "Compressed file ended before the end-of-stream marker was reached"),
        (b"not packed\n", "Not a gzipped file (b'no')"),
        (PACKED[:10] + b"\xff" * 100, "Error -3 while decompressing data: "),
    ],
)
def test_a_packed_file_that_cannot_be_read_on_is_named_with_its_line_and_nothing_is_put(
    kept: KeptTopics, tmp_path: Path, held: bytes, why: str
) -> None:
    whole, path = tmp_path / "whole.ndjson", tmp_path / "old.ndjson.gz"
    whole.write_bytes(LINES)
    path.write_bytes(held)
    result = run(whole, path)
    assert (result.exit_code, kept.lines()) == (1, [])
    assert result.stderr.startswith(f"Error: {path}, line ")
    assert f" cannot be read: {why}" in result.stderr
    assert result.stderr.count("\n") == 1
