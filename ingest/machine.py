"""What ingest needs of the machine and the libraries it runs on; checked before it starts."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path

import aiohttp
from aiohttp import http_parser

from ingest.desk import ADMIN_CONNECTIONS, LINGERING
from ingest.segments import Folder

_PARSER_SINCE = (3, 14, 5)
# Files that are no player's connections: the spool, Kafka's sockets, the listeners, the libraries' own, and the
# connections that are accepted beside those that are counted.
_OTHER_FILES = 48 + LINGERING + ADMIN_CONNECTIONS
_PR_SET_PDEATHSIG = 1
_FOLDERS = 1024


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
