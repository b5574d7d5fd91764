"""The parent of several ingest processes: starts them, starts a dead one again, stops all in order."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time

from ingest.config import CHILD_VARIABLE, Config
from ingest.machine import CannotStart

log = logging.getLogger("ingest.supervisor")

# A child says by it that it has printed why it can not start.
CANNOT_START_CODE = 78
_LOOK_SECONDS = 0.2
_AGAIN_SECONDS = 1.0
_STOP_SECONDS = 19.0


def run(config: Config) -> int:
    """Keep the children running until SIGTERM or SIGINT; return the exit code."""
    _check_port(config)
    # A list, not an Event: a handler that came while its lock is held would wait for ever.
    stopped: list[int] = []
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda number, _: stopped.append(number))
    children = [_start(number) for number in range(config.ingest_processes)]
    started_again: set[int] = set()
    while not _stopped_after(_LOOK_SECONDS, stopped):
        for number, child in enumerate(children):
            code = child.poll()
            if code is None or stopped:
                continue
            if code == CANNOT_START_CODE and number not in started_again:
                # What keeps the first start of one from succeeding keeps its siblings too.
                _stop(children, config)
                return 1
            log.error("child_died number=%d code=%d", number, code)
            if not _stopped_after(_AGAIN_SECONDS, stopped):
                started_again.add(number)
                children[number] = _start(number)
    return _stop(children, config)


def _stopped_after(seconds: float, stopped: list[int]) -> bool:
    """Wait this long, less if a signal comes; tell whether one has."""
    until = time.monotonic() + seconds
    while not stopped and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_SECONDS))
    return bool(stopped)


def _check_port(config: Config) -> None:
    """The children share the port, so they would not notice that somebody else has it."""
    family = socket.AF_INET6 if ":" in config.ingest_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.ingest_host, config.ingest_port))
        except OSError as error:
            raise CannotStart(f"port {config.ingest_port} on {config.ingest_host}: {error.strerror}") from error


def _start(number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ingest"], env={**os.environ, CHILD_VARIABLE: f"{number} {os.getpid()}"}
    )


def _stop(children: list[subprocess.Popen[bytes]], config: Config) -> int:
    for child in children:
        child.terminate()
    until = time.monotonic() + config.ingest_stop_delay_seconds + _STOP_SECONDS
    code = False
    for child in children:
        try:
            ended = child.wait(max(0.1, until - time.monotonic()))
            # By the signal itself: it had not come far enough in its start to have read anything.
            code |= ended not in (0, -signal.SIGTERM)
        except subprocess.TimeoutExpired:
            log.error("child_killed pid=%d", child.pid)
            child.kill()
            code = True
    return int(code)
