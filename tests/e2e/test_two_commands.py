"""A stranger clones the project, runs one command, posts the printed beacon and sees it in the report."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import free_port
from tests.e2e.line import REPO
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e

# What a fresh login has, and what this machine needs to reach its package registries.
KEPT = re.compile(r"PATH|HOME|LANG|TMPDIR|JAVA_HOME|MAVEN_\w+|PIP_\w+|\w+_proxy|SSL_\w+|REQUESTS_\w+", re.IGNORECASE)
INSTALL_SECONDS = 400
# It gives itself 19, then kills and says so; a busy machine takes the rest.
STOP_SECONDS = 30
_numbers = itertools.count(1)


class Run:
    """`make run` in a clone, as from a terminal: its own process group, its output in a file."""

    def __init__(self, clone: Path, ports: dict[str, str]) -> None:
        self._output = clone / f"output-{next(_numbers)}.txt"
        environment = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
        with self._output.open("wb") as output:
            self._make = subprocess.Popen(
                ("make", "run"),
                cwd=clone,
                env=environment | ports,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    async def ready(self) -> list[str]:
        """Wait until it says so and return the curls that it printed."""
        await until(lambda: "Ctrl-C stops" in self.said or self.ended, INSTALL_SECONDS, "make run is ready", 0.2)
        assert not self.ended, self.said
        return re.findall(r"^ *(curl .*)$", self.said, re.MULTILINE)

    async def interrupt(self) -> None:
        """Press Ctrl-C and see everything end in time."""
        os.killpg(self._make.pid, signal.SIGINT)
        await until(lambda: self.ended, STOP_SECONDS, "Ctrl-C stops everything")

    def kill(self) -> None:
        """End all of it at once."""
        if not self.ended:
            os.killpg(self._make.pid, signal.SIGKILL)
            self._make.wait()

    @property
    def ended(self) -> bool:
        return self._make.poll() is not None


def processes_of(ports: dict[str, str]) -> list[str]:
    """Return the commands of all processes that were started with this DATA_DIR."""
    wanted = f"DATA_DIR={ports['DATA_DIR']}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue  # it ended while we looked
    return found


def shell(command: str) -> str:
    """Run a printed command as a person would."""
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone for all tests here: the first `make run` installs, the others find it done."""
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run(("git", "clone", "--quiet", str(REPO), str(folder)), check=True)
    return folder


@pytest.fixture
def ports(tmp_path: Path) -> dict[str, str]:
    names = ("INGEST_PORT", "REPORT_PORT", "KAFKA_PORT")
    return {name: str(free_port()) for name in names} | {"DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.kill()


async def test_a_fresh_clone_counts_the_printed_beacon_and_goes_on_counting_after_a_stop(
    clone: Path, ports: dict[str, str], runs: list[Run]
) -> None:
    runs.append(Run(clone, ports))
    send, ask = await runs[-1].ready()

    def plays() -> int:
        return sum(row["plays"] for row in json.loads(shell(ask)).get("rows", []))

    assert re.fullmatch(r"\d{10}", shell(send).strip())
    await until(lambda: plays() == 1, 60, "the printed beacon is counted", 0.2)

    await runs[-1].interrupt()
    assert processes_of(ports) == []

    runs.append(Run(clone, ports))
    send, ask = await runs[-1].ready()
    assert plays() == 1
    shell(send)  # the same beacon again: nothing changes
    shell(send.replace("sessionId=first", "sessionId=second"))
    await until(lambda: plays() == 2, 60, "the second play is counted", 0.2)

    await runs[-1].interrupt()
    assert processes_of(ports) == []


async def test_two_runs_stand_side_by_side_and_a_killed_one_leaves_nothing_and_comes_back(
    clone: Path, ports: dict[str, str], tmp_path: Path, runs: list[Run]
) -> None:
    other_ports = {name: str(free_port()) for name in ports} | {"DATA_DIR": str(tmp_path / "data2")}
    runs.append(Run(clone, ports))
    await runs[0].ready()
    runs.append(Run(clone, other_ports))
    await runs[1].ready()

    # A folder has one owner, a port too: one line says so.
    taken = Run(clone, other_ports | {"DATA_DIR": str(tmp_path / "data3")})
    runs.append(taken)
    await until(lambda: taken.ended, 60, "the third run gives up")
    assert [line for line in taken.said.splitlines() if not line.startswith("make: ")] == [
        f"Port {other_ports['INGEST_PORT']} of 127.0.0.1 cannot be had (Address already in use): stop what uses "
        f"it, or name another, as in `make run INGEST_PORT={int(other_ports['INGEST_PORT']) + 1000}`"
    ]

    runs[0].kill()
    await until(lambda: len(processes_of(ports)) == 0, 10, "nothing of the killed run is left")
    runs.append(Run(clone, ports))
    await runs[-1].ready()
    for run in (runs[-1], runs[1]):
        await run.interrupt()
    assert processes_of(ports) + processes_of(other_ports) == []
