"""The supervisor starts in order, starts again what dies, stops in order and leaves nothing: with toy processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
TOY = f"""
import os, sys, time
from pathlib import Path
sys.path.insert(0, {str(REPO)!r})
from deploy.local.child import Child, Launch
from deploy.local.supervisor import CannotStart, StopAsked, Supervisor

folder = Path(sys.argv[1])
(folder / "log").mkdir()
stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"
begin = "import os, signal, sys\\n"
# Ready only once it knows what to do when it is told to stop: SIGTERM waits until it is asked for. (With a handler
# and `pause`, one that came between the mark and the pause was handled by nobody: 1 of 100 starts on a busy machine.)
obedient = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\\n"
mark = "open(sys.argv[1] + '.' + str(os.getpid()), 'w')\\n"
wait = "signal.sigwait([signal.SIGTERM])\\nopen(sys.argv[1] + '.stopped', 'w')"


def toy(name, script, stop_seconds=5.0):
    path = folder / name
    launch = Launch((sys.executable, "-c", script, str(path)), os.environ, lambda: any(folder.glob(name + ".*")))
    return Child(name, lambda: launch, folder / "log" / (name + ".log"), stop_seconds)


first = toy("first", begin + obedient + mark + wait)
broken = "import sys\\nsys.exit('cannot')"
stays = begin + (stubborn if "stubborn" in sys.argv else obedient) + mark + wait
second = toy("second", broken if "breaks" in sys.argv else stays, 0.5 if "stubborn" in sys.argv else 20.0)
supervisor = Supervisor(lambda text: print(text, flush=True))
try:
    supervisor.start([first])
    supervisor.start([second])
    print("ready", flush=True)
    supervisor.watch()
except StopAsked:
    print("stopping", flush=True)
except CannotStart as error:
    print(error, flush=True)
supervisor.stop([[second], [first]], 10.0)
print("stopped", flush=True)
"""


class Toy:
    """A supervisor over two toys."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            (sys.executable, "-c", TOY, str(folder), *words), stdout=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pids(self, name: str) -> list[int]:
        found = [int(file.suffix[1:]) for file in self.folder.glob(f"{name}.*") if file.suffix[1:].isdigit()]
        return [pid for pid in found if alive(pid)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Toy]]:
    """Start a supervisor over two toys; it does not outlive the test."""
    toys: list[Toy] = []

    def started(*words: str) -> Toy:
        toys.append(Toy(tmp_path, *words))
        return toys[-1]

    yield started
    for toy in toys:
        toy.process.kill()
        toy.process.wait()


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        # Gone before it was opened, or before it was read.
        return False


def wait_for(condition: object, what: str) -> None:
    assert callable(condition)
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        os.sched_yield()


def test_it_stops_in_order_and_tells_so(start: Callable[..., Toy]) -> None:
    toy = start()
    assert toy.line() == "ready"

    toy.process.send_signal(signal.SIGINT)

    assert [toy.line(), toy.line()] == ["stopping", "stopped"]
    assert (toy.folder / "second.stopped").stat().st_mtime <= (toy.folder / "first.stopped").stat().st_mtime
    assert toy.process.wait() == 0


def test_what_dies_is_started_again_and_said_in_one_line(start: Callable[..., Toy]) -> None:
    toy = start()
    assert toy.line() == "ready"
    wait_for(lambda: toy.pids("second"), "second runs")
    [pid] = toy.pids("second")

    os.kill(pid, signal.SIGKILL)

    said = f"second ended (killed by SIGKILL), is started again in 0.5 s; see {toy.folder}/log/second.log"
    assert toy.line() == said
    wait_for(lambda: toy.pids("second"), "second runs again")
    toy.process.send_signal(signal.SIGTERM)
    assert [toy.line(), toy.line()] == ["stopping", "stopped"]


def test_what_does_not_stop_in_time_is_killed(start: Callable[..., Toy]) -> None:
    toy = start("stubborn")
    assert toy.line() == "ready"
    wait_for(lambda: toy.pids("second"), "second runs")

    toy.process.send_signal(signal.SIGINT)

    assert [toy.line(), toy.line(), toy.line()] == [
        "stopping",
        "second did not stop in time and was killed",
        "stopped",
    ]
    assert toy.pids("first") + toy.pids("second") == []


def test_a_killed_supervisor_takes_its_children_along(start: Callable[..., Toy]) -> None:
    toy = start()
    assert toy.line() == "ready"
    wait_for(lambda: toy.pids("second"), "second runs")

    toy.process.kill()
    toy.process.wait()

    wait_for(lambda: toy.pids("first") + toy.pids("second") == [], "nothing is left")


def test_what_never_starts_ends_everything_with_its_last_words(start: Callable[..., Toy]) -> None:
    toy = start("breaks")

    said = iter(toy.line, "")
    lines = list(said)

    assert lines[-2:] == [f"second does not start: cannot (see {toy.folder}/log/second.log)", "stopped"]
    assert toy.pids("first") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_asking_stops_it(start: Callable[..., Toy], number: signal.Signals) -> None:
    toy = start()
    assert toy.line() == "ready"

    toy.process.send_signal(number)

    assert toy.process.wait() == 0
    assert toy.pids("first") + toy.pids("second") == []
