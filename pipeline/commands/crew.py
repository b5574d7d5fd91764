"""The workers that `rebuild --beside` runs of its own: none is left behind, however the command ends."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from pipeline.commands.broker import Broker

# A worker writes its last checkpoint before it ends, which takes up to 45 s where Kafka is slow.
STOP_WITHIN_S = 60.0
_PR_SET_PDEATHSIG = 1
# Loaded before a fork, after which loading could wait for a lock for ever.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@contextmanager
def crew(broker: Broker, prefix: str, number: int) -> Iterator[Callable[[], None]]:
    """Run workers of the new state and yield a check that all live; end them in order, their local state with them."""
    left_out = ("WORKER_INSTANCE_ID", "WORKER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    folder = broker.line.data_dir / "rebuild" / f"{prefix}state"
    workers: list[subprocess.Popen[bytes]] = []

    def check() -> None:
        for worker in workers:
            if worker.poll() is not None:
                raise click.ClickException(
                    f"a worker ended with {worker.returncode}, see its lines above; run this again"
                )

    parent = os.getpid()
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        for index in range(number):
            own = {
                "WORKER_ID": f"rebuild-{index}",
                "WORKER_STATE_DIR": str(folder / str(index)),
                "STATE_PREFIX": prefix,
                "WORKER_STANDBY": "0",
            }
            workers.append(
                subprocess.Popen(
                    (sys.executable, "-m", "pipeline", "worker"),
                    env=environment | own,
                    # Only a system call: Kafka's threads, which live at this fork, hold nothing that it needs.
                    preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509
                )
            )
        yield check
        check()
    finally:
        _end(workers)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


def _ended(number: int, _: object) -> NoReturn:
    """End as after an error: the crew first. Who only dies of the signal leaves workers that nobody sees."""
    raise SystemExit(128 + number)


def _end_with(parent: int) -> None:
    """Between fork and exec: end in order when our parent is gone, in whatever way."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def _end(workers: list[subprocess.Popen[bytes]]) -> None:
    """Have workers end in order; none is left behind, for the folder of their state goes too."""
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    give_up = time.monotonic() + STOP_WITHIN_S
    for worker in workers:
        try:
            worker.wait(max(0.0, give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            # What it has not written is in beacons still: nothing is lost with it.
            click.echo(f"a worker (process {worker.pid}) does not end within {STOP_WITHIN_S:.0f} s: killed", err=True)
            worker.kill()
            worker.wait()
