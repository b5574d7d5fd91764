"""What ingest needs of the machine and the libraries it runs on; checked before it starts."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import threading
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import http_parser

from ingest.desk import ADMIN_CONNECTIONS, LINGERING
from ingest.segments import Folder

log = logging.getLogger("ingest")

_PARSER_SINCE = (3, 14, 5)
# Files that are no player's connections: the spool, Kafka's sockets, the listeners, the libraries' own, and the
# connections that are accepted beside those that are counted.
_OTHER_FILES = 48 + LINGERING + ADMIN_CONNECTIONS
_PR_SET_PDEATHSIG = 1
_FOLDERS = 1024
_SAYING_SECONDS = 0.5


class CannotStart(Exception):
    """Print the one line and exit."""


def check_parser() -> None:
    """Refuse a parser with known holes: older ones, and the pure Python one."""
    version = tuple(int(part) for part in aiohttp.__version__.split(".")[:3] if part.isdigit())
    if version < _PARSER_SINCE:
        raise CannotStart(f"aiohttp {aiohttp.__version__} is too old: install 3.14.5 or newer")
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise CannotStart("aiohttp runs without its C parser: install a wheel, and unset AIOHTTP_NO_EXTENSIONS")


def connections_allowed(wanted: int) -> int:
    """Raise the limit of open files as far as allowed; return how many connections fit below it.

    Not only as far as needed: connections over the bound are accepted before they are refused.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(soft, 2 * wanted + _OTHER_FILES) if hard == resource.RLIM_INFINITY else hard
    if soft < most:
        soft = most
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - _OTHER_FILES))


def end_with_parent(parent: int) -> None:
    """Have the kernel stop this process when its parent dies, so that no child is left on the port.

    Raises:
        CannotStart: it died before.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise CannotStart("the process that started this one has ended")


def end_within(seconds: float, loop: asyncio.AbstractEventLoop) -> None:
    """Have this process end after this time, saying where it hangs: nothing that was answered is lost by it."""

    def say() -> None:
        log.critical("stop_hangs in=%s", "; ".join(_waits(task) for task in asyncio.all_tasks(loop)))

    # Two: what cannot be written, because nobody reads it, must not keep it from ending.
    for after, act in ((seconds, say), (seconds + _SAYING_SECONDS, lambda: os._exit(1))):
        timer = threading.Timer(after, act)
        timer.daemon = True
        timer.start()


def _waits(task: asyncio.Task[Any]) -> str:
    """Return the functions that a task waits in, with their lines, the outermost first."""
    places: list[str] = []
    inner: Any = task.get_coro()
    while (frame := getattr(inner, "cr_frame", None)) is not None:
        places.append(f"{inner.__qualname__}:{frame.f_lineno}")
        inner = getattr(inner, "cr_await", None)
    return " > ".join(places)


def claim_folder(root: Path, name: str) -> Folder:
    """Return the first spool folder of this name that no other process owns."""
    for number in range(_FOLDERS):
        try:
            folder = Folder.claim(root / f"{name}.{number}")
        except OSError as error:
            raise CannotStart(f"INGEST_SPOOL_DIR {root}: {error.strerror}") from error
        if folder is not None:
            return folder
    raise CannotStart(f"INGEST_SPOOL_DIR {root}: every folder is owned by another process")
