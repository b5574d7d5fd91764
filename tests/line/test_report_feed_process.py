"""The feed's process: it says what it has applied, ends with the report, and never writes beside another feed."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report.feed import Applied
from pipeline.report.feed_process import FeedProcess, frame, frames
from pipeline.report.record import Position
from tests.e2e.wait import until

# A feed over a source with one row; what it prints itself goes another way than what it says to the report.
_FEED = """
import sys
from pathlib import Path
from pipeline.report.feed_process import run_feed
from tests.line.report_stage import FakeSource, T, row_key

class Chatty(FakeSource):
    def poll(self):
        print("a library that prints", flush=True)
        return super().poll()

source = Chatty()
source.put(0, row_key("7", "x", T), b'{"plays":1}')
source.put(0, b'{"position":0}', b'{"offset":4,"time":1,"ledger":{"beacons":5}}')
run_feed(source, Path(sys.argv[1]))
"""
_REPORT = """
import signal, sys
from pipeline.report.feed_process import FeedProcess

feed = FeedProcess(lambda applied: print(feed.pid, flush=True), tuple(sys.argv[1:]))
feed.start()
signal.pause()
"""


def _command(store: Path) -> tuple[str, ...]:
    return sys.executable, "-c", textwrap.dedent(_FEED), str(store)


def _is_there(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        # Gone before it was opened, or before it was read.
        return False


@contextmanager
def _feed(store: Path, seen: list[Applied]) -> Iterator[FeedProcess]:
    feed = FeedProcess(seen.append, _command(store))
    feed.start()
    try:
        yield feed
    finally:
        feed.stop()


def _has_read(seen: list[Applied]) -> bool:
    return bool(seen) and seen[-1].caught_up


_texts = st.text(max_size=8)
# What SQLite holds, and Kafka's offsets.
_numbers = st.integers(-(2**63), 2**63 - 1)
_positions = st.builds(Position, _numbers, _numbers, _numbers, st.dictionaries(_texts, _numbers, max_size=3), _texts)
_applied = st.builds(
    Applied,
    generation=_numbers,
    revision=_numbers,
    positions=st.dictionaries(st.integers(0, 63), _positions, max_size=3),
    blocks=st.frozensets(st.tuples(_texts, _texts, _numbers), max_size=4),
    rows=_numbers,
    caught_up=st.booleans(),
    complete=st.booleans(),
    unreadable=_numbers,
)


@settings(deadline=None)
@given(st.lists(_applied, max_size=4), st.integers(0, 60))
def test_what_the_feed_says_arrives_frame_by_frame_and_nothing_of_a_cut_one(said: list[Applied], cut: int) -> None:
    whole = [frame(one) for one in said]
    assert list(frames(io.BytesIO(b"".join(whole)))) == said
    if whole:
        rest = whole[-1][: min(cut, len(whole[-1]) - 1)]
        assert list(frames(io.BytesIO(b"".join(whole[:-1]) + rest))) == said[:-1]


async def test_it_says_what_it_has_applied_and_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    seen: list[Applied] = []
    with _feed(tmp_path / "report.sqlite", seen) as feed:
        await until(lambda: _has_read(seen), 30, "the row is applied")
        assert feed.alive()
        feed.stop()
        assert not feed.alive()
    assert seen[-1].positions == {0: Position(0, 4, 1, {"beacons": 5})}
    assert (seen[-1].revision, seen[-1].complete, sum(one.rows for one in seen)) == (1, True, 1)


async def test_it_builds_the_file_again_that_a_question_found_damaged_and_no_other(tmp_path: Path) -> None:
    #  generations   1: read | doubt 0: none | doubt 1, 1: built again once | 2
    store, seen = tmp_path / "report.sqlite", list[Applied]()
    with _feed(store, seen) as feed:
        await until(lambda: _has_read(seen), 30, "the row is applied")
        first = store.stat().st_ino
        held = store.open("rb")  # else the next file may have its number
        for generation in (0, 1, 1):
            feed.doubt(generation)
        await until(lambda: _has_read(seen) and seen[-1].generation == 2, 30, "the file is read again")
        assert store.stat().st_ino != first
        held.close()
        feed.doubt(1)
        feed.stop()
    assert max(one.generation for one in seen) == 2
    # It has gone: this is said in the log, and is no fault of the question's.
    feed.doubt(2)


async def test_a_signal_to_all_processes_of_a_report_leaves_the_feed_to_the_report(tmp_path: Path) -> None:
    seen: list[Applied] = []
    with _feed(tmp_path / "report.sqlite", seen) as feed:
        await until(lambda: _has_read(seen), 30, "the row is applied")
        assert feed.pid is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(feed.pid, number)
        feed.stop()
        assert feed._child is not None
        assert feed._child.returncode == 0


async def test_a_feed_that_is_killed_is_not_alive(tmp_path: Path) -> None:
    seen: list[Applied] = []
    with _feed(tmp_path / "report.sqlite", seen) as feed:
        await until(lambda: _has_read(seen), 30, "the row is applied")
        assert feed.pid is not None
        os.kill(feed.pid, signal.SIGKILL)
        await until(lambda: not feed.alive(), 30, "the report knows that its feed is gone")


async def test_a_report_that_is_killed_takes_its_feed_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_REPORT), *_command(tmp_path / "report.sqlite")]
    report = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert report.stdout is not None
    try:
        async with asyncio.timeout(60):
            pid = int(await report.stdout.readline())
        assert _is_there(pid)
    finally:
        report.kill()
    await report.wait()
    await until(lambda: not _is_there(pid), 30, "the feed is gone too")


async def test_two_feeds_never_write_one_file(tmp_path: Path) -> None:
    first: list[Applied] = []
    second: list[Applied] = []
    store = tmp_path / "report.sqlite"
    with _feed(store, first) as earlier:
        await until(lambda: _has_read(first), 30, "the first has it")
        with _feed(store, second) as later:
            # It waits for the lock, which the kernel lists: `->` is before who waits.
            await until(
                lambda: f"FLOCK  ADVISORY  WRITE {later.pid} " in Path("/proc/locks").read_text(), 30, "it waits"
            )
            assert second == []
            earlier.stop()
            await until(lambda: _has_read(second), 30, "the second goes on when the first has gone")
