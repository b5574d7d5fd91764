"""The feed in a process of its own: who asks the report shares no interpreter with the rows that come in.

The two hold pipes of each other. Standard input of the feed's process ends with the report, and the feed with it; what
comes there before are generations of the file that a question found damaged, 8 bytes each. On standard output it says
what it has applied, a frame each: 4 bytes of length and MessagePack. Numbers are big-endian.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from pipeline.cycles import search_rarely
from pipeline.report.feed import STOP_SECONDS, Applied, Feed, Source
from pipeline.report.readmodel import ReadModel

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "pipeline", "report", "--feed")
LOOK_SECONDS = 1.0
# Beyond what the feed's thread has: the process's own end.
END_SECONDS = 3.0
_LENGTH_BYTES = 4
_GENERATION_BYTES = 8
_PR_SET_PDEATHSIG = 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Applied).decode


def frame(applied: Applied) -> bytes:
    """Return what the feed's process says of a batch."""
    body = _encode(applied)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def frames(stream: IO[bytes]) -> Iterator[Applied]:
    """Yield what the feed's process says, until it ends; a frame that is cut off by its end says nothing."""
    while len(head := stream.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
        body = stream.read(length := int.from_bytes(head, "big"))
        if len(body) < length:
            return
        yield _decode(body)


class FeedProcess:
    """A Feed, as the report knows it: it starts, tells what it has applied, is alive or not, stops."""

    def __init__(self, on_applied: Callable[[Applied], None], command: tuple[str, ...] = COMMAND) -> None:
        """Prepare; `on_applied` is called in a thread of its own."""
        self._on_applied = on_applied
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._doubted = -1
        self._thread = threading.Thread(target=self._listen, name="report-feed", daemon=True)

    @property
    def pid(self) -> int | None:
        """Return the number of the process, None before the start."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the process. From the main thread alone: it dies with the thread that started it."""
        self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the feed end after what it does now."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()

    def stop(self) -> None:
        """Wait until the process has ended; not for a Kafka that does not answer, as nothing is lost by leaving."""
        if self._child is None:
            return
        self.ask_to_stop()
        try:
            self._child.wait(STOP_SECONDS + END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._thread.join()

    def doubt(self, generation: int) -> None:
        """Have the file built again, if it is still the one that was found damaged; called from any thread."""
        if generation == self._doubted or self._child is None or self._child.stdin is None:
            return
        self._doubted = generation
        try:
            os.write(self._child.stdin.fileno(), generation.to_bytes(_GENERATION_BYTES, "big"))
        except (OSError, ValueError) as gone:
            # Its end is seen by `alive`; the next feed hears of the damage from the next question.
            log.warning("the feed is gone and was not told of damage: %s", gone)

    def alive(self) -> bool:
        """Tell whether the process runs, and is heard."""
        return self._child is not None and self._child.poll() is None and self._thread.is_alive()

    def _listen(self) -> None:
        assert self._child is not None
        assert self._child.stdout is not None
        for applied in frames(self._child.stdout):
            self._on_applied(applied)


def run_feed(source: Source, store: Path) -> None:
    """Be the feed's process: carry rows until standard input ends, or the report is gone in whatever way."""
    search_rarely()
    # Who stops the report by a signal to all its processes stops the feed by the report.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # What a library prints must not get between the frames.
    said = os.dup(1)
    os.dup2(2, 1)

    def say(applied: Applied) -> None:
        rest = memoryview(frame(applied))
        while rest:
            rest = rest[os.write(said, rest) :]

    with _alone(store):
        feed = Feed(source, ReadModel(store), say)
        feed.start()
        while feed.alive() and (told := _told(0)) != b"":
            if told is not None:
                # Written at once and so read at once: a pipe keeps together what is shorter than a page.
                feed.doubt(int.from_bytes(told, "big"))
        feed.stop()


def _told(pipe: int) -> bytes | None:
    """Return what was said on a pipe within a while: nothing, or b"" at its end."""
    readable, _, _ = select.select([pipe], [], [], LOOK_SECONDS)
    return os.read(pipe, _GENERATION_BYTES) if readable else None


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Wait until the feed of a report that was here before has gone: two would write old rows over new ones."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(store.name + ".feed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
