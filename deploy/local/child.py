"""One process of the line: started in its own session, asked whether it is ready, never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG_BYTES = 16 << 20
_libc = ctypes.CDLL(None, use_errno=True)
# A proxy of the environment has no business between us and loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a process.

    Attributes:
        arguments: the command.
        environment: all of it.
        ready: tells whether the process serves.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Callable[[], bool]


def url_answers(url: str) -> Callable[[], bool]:
    """Return a question: does this URL answer 200?"""

    def answers() -> bool:
        try:
            with _direct.open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    return answers


class Child:
    """A process that is to run: the same object over all its starts."""

    def __init__(self, name: str, launch: Callable[[], Launch], log: Path, stop_seconds: float) -> None:
        self.name = name
        self.log = log
        self.stop_seconds = stop_seconds
        self.started_at = 0.0
        self._launch = launch
        self._ready: Callable[[], bool] = lambda: False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it prints is added to its log file."""
        launch = self._launch()
        parent = os.getpid()
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                launch.arguments,
                env=dict(launch.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own session: a Ctrl-C in the terminal reaches only us, and we stop in order.
                start_new_session=True,
                # No thread of ours lives at a fork: the supervisor has one, Kafka's client is gone by then.
                preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509
            )
        self._ready = launch.ready
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return self._process.pid if self._process else None

    def exit_code(self) -> int | None:
        """Return how it ended, None while it runs; negative: by that signal."""
        return None if self._process is None else self._process.poll()

    def running(self) -> bool:
        """Tell whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def ready(self) -> bool:
        """Tell whether it serves."""
        return self.running() and self._ready()

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has and end."""
        if self._process is not None and self.running():
            self._process.terminate()

    def finish(self, seconds: float) -> bool:
        """Wait for its end, then end whatever is left of its session; False: it had to be killed."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, seconds))
            in_time = True
        except subprocess.TimeoutExpired:
            in_time = False
        with contextlib.suppress(ProcessLookupError):  # Nothing of its session is left: what we want.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        return in_time

    def last_line(self) -> str:
        """Return the last line that it printed."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if line.strip()), "")


def how_it_ended(code: int) -> str:
    """Return an exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


def _die_with(parent: int) -> None:
    """Between fork and exec: be killed when our parent is, however it ends, and take signals again."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
