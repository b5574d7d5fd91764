"""CPU time of a contender's process by the kernel, between two marks that it prints, and of its whole life.

A contender is a process that prints `beacons N` now and then and `end N` when all it did is committed. The CPU time of
the process (all threads, /proc/PID/stat, 10 ms steps) is read at each of these lines. What is compared is the CPU
between the first line at or above `warm` beacons and the end line: a JVM's start and the first of its compiling are
left out, and so are Python's imports. The CPU of the whole life (wait4) is kept beside it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# No contender takes a tenth of it.
MOST_SECONDS = 900
TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process with all its threads, ended ones too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children, as they are now."""
    return sum(map(cpu_seconds, _tree(pid)))


def peak_mib(pid: int) -> float:
    """Return the most memory a process and its children have held, each on its own."""
    return sum(_status_mib(one, "VmHWM:") for one in _tree(pid))


def resident_mib(pid: int) -> float:
    """Return the memory a process and its children hold."""
    return sum(_status_mib(one, "VmRSS:") for one in _tree(pid))


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _status_mib(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    # One that has ended and was not waited for yet has no memory.
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0) / 1024


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contender."""

    name: str
    beacons: int
    cpu_us: float
    wall_us: float
    whole_cpu_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Mark:
    """CPU and clock when a contender said how far it was."""

    beacons: int
    cpu: float
    wall: float


class ContenderFailedError(Exception):
    """The contender ended without its end line: its row of the table says so."""


def run(
    name: str,
    command: list[str],
    warm: int,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    most_seconds: float = MOST_SECONDS,
) -> Run:
    """Run a contender to its end and return what its beacons cost.

    Raises:
        ContenderFailedError: it ended without its end line, or was ended after its time.
    """
    with (log or Path(os.devnull)).open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(env or {})}
        )
        assert process.stdout
        marks: list[Mark] = []
        ended, peak = False, 0.0
        # One that hangs, as Faust does where Kafka is late to tell of a topic, ends as one that failed.
        limit = threading.Timer(most_seconds, process.kill)
        limit.start()
        try:
            for line in process.stdout:
                word, _, number = line.partition(" ")
                if word in ("beacons", "end"):
                    marks.append(Mark(int(number), cpu_seconds(process.pid), time.monotonic()))
                    ended = word == "end"
                    peak = max(peak, peak_mib(process.pid))
        finally:
            limit.cancel()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if not ended:
        raise ContenderFailedError(f"{name} ended with {process.returncode} before its end line; see {log}")
    return between(name, marks, warm, usage.ru_utime + usage.ru_stime, peak)


def between(name: str, marks: list[Mark], warm: int, whole: float, peak: float) -> Run:
    """Return the cost between the first mark at or above `warm` beacons and the last mark."""
    first = next((mark for mark in marks if mark.beacons >= warm), marks[0])
    last = marks[-1]
    done = last.beacons - first.beacons
    per = 1e6 / done
    return Run(name, done, (last.cpu - first.cpu) * per, (last.wall - first.wall) * per, whole, peak)


def median(runs: Iterable[Run]) -> Run:
    """Return the medians of several runs of one contender."""
    all_runs = list(runs)
    return Run(
        all_runs[0].name,
        all_runs[0].beacons,
        statistics.median(run.cpu_us for run in all_runs),
        statistics.median(run.wall_us for run in all_runs),
        statistics.median(run.whole_cpu_s for run in all_runs),
        max(run.peak_mib for run in all_runs),
    )
