"""The spool killed at every single system call, and the power cut there: what was promised is read again, always.

A child process appends and drains by a fixed script, reports each promise through a pipe, and kills itself at the
N-th call that touches the disk. For the power cut the parent then takes from every file
what had not been synced, tears what is in between, and removes files whose name had not been.
"""

from __future__ import annotations

import json
import os
import random
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.segments import NotOnDisk, Segments

CALLS = ("open", "write", "fdatasync", "fsync", "close", "unlink")
LAST_CALL = 75


class Disk:
    """Counts the calls, remembers what is synced, and ends the process at one of them."""

    def __init__(self, kill_at: int, report: Callable[[dict[str, Any]], None]) -> None:
        self._left = kill_at
        self._report = report
        self._names: dict[int, str] = {}
        for name in CALLS:
            setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **options)
            if name == "open":
                self._names[result] = str(args[0])
            elif name == "fdatasync":
                self._report({"synced": self._names[args[0]], "size": os.fstat(args[0]).st_size})
            elif name == "fsync":
                self._report({"named": sorted(os.listdir(self._names[args[0]]))})  # noqa: PTH208
            return result

        return call


def script(folder: Path, report: Callable[[dict[str, Any]], None]) -> None:
    """Append groups over several files, drain and delete the oldest file now and then."""
    segments = Segments(folder, 300)
    segments.recover()
    for n in range(1, 13):
        values = [b"%d" % n * 30, b"%d!" % n * 20]
        try:
            segments.append([(n, 0, 1, value) for value in values])
        except NotOnDisk:
            continue
        report({"promised": [value.decode() for value in values]})
        if n % 5 == 0:
            oldest = segments.oldest()
            assert oldest is not None
            segments.seal(oldest)
            report({"drained": [frame.value.decode() for frame in segments.read(oldest).frames]})
            segments.delete(oldest)


def run_and_kill(folder: Path, kill_at: int) -> tuple[list[dict[str, Any]], bool]:
    """Run the script in a child until its N-th call; return what it reported and whether it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            write = os.write

            def report(what: dict[str, Any]) -> None:
                write(writing, json.dumps(what).encode() + b"\n")

            Disk(kill_at, report)
            script(folder, report)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reports = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return reports, os.WIFSIGNALED(status)


def promised_and_drained(reports: list[dict[str, Any]]) -> tuple[list[str], set[str]]:
    promised = [value for one in reports for value in one.get("promised", [])]
    return promised, {value for one in reports for value in one.get("drained", [])}


def read_again(folder: Path) -> list[str]:
    segments = Segments(folder, 300)
    segments.recover()
    found = []
    while (oldest := segments.oldest()) is not None:
        found += [frame.value.decode() for frame in segments.read(oldest).frames]
        segments.delete(oldest)
    return found


def cut_power(folder: Path, reports: list[dict[str, Any]], draw: random.Random) -> None:
    """Take away what was not synced, or leave a torn part of it."""
    sizes = {one["synced"]: one["size"] for one in reports if "synced" in one}
    named = [one["named"] for one in reports if "named" in one]
    for path in folder.glob("*.seg"):
        if not named or path.name not in named[-1]:
            path.unlink()
            continue
        data = bytearray(path.read_bytes())
        synced = sizes.get(str(path), 0)
        unsynced = data[synced:]
        torn = draw.choice([b"", unsynced[: len(unsynced) // 2], bytes(len(unsynced)), draw.randbytes(len(unsynced))])
        path.write_bytes(bytes(data[:synced]) + bytes(torn))


@pytest.mark.parametrize("power_cut", [False, True], ids=["killed", "power cut"])
def test_killed_at_every_call_it_keeps_what_it_promised(tmp_path: Path, power_cut: bool) -> None:
    draw = random.Random(1)
    for kill_at in range(1, LAST_CALL):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        reports, _ = run_and_kill(folder, kill_at)
        if power_cut:
            cut_power(folder, reports, draw)
        promised, drained = promised_and_drained(reports)
        found = read_again(folder)
        assert set(promised) - drained <= set(found), kill_at
        assert len(found) == len(set(found)), kill_at


def test_the_script_ends_by_itself_after_the_last_call_that_was_tried(tmp_path: Path) -> None:
    reports, killed = run_and_kill(tmp_path, LAST_CALL)
    promised, drained = promised_and_drained(reports)
    assert (killed, len(promised), len(drained) > 0) == (False, 24, True)


def test_the_test_sees_a_sync_that_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tester tested: without fdatasync the power cut must cost something that was promised."""
    monkeypatch.setattr("ingest.segments.os.fdatasync", lambda fd: None)
    reports, _ = run_and_kill(tmp_path, LAST_CALL)
    cut_power(tmp_path, [one for one in reports if "synced" not in one], random.Random(1))
    promised, drained = promised_and_drained(reports)
    assert not set(promised) - drained <= set(read_again(tmp_path))
