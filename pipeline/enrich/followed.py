"""A file that an operator supplies: read again when it changes; a broken one leaves the last good one in use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

_Content = TypeVar("_Content")


class Followed(Generic[_Content]):
    """What a file holds, as it last made sense.

    Attributes:
        content: None until the file could be read once.
    """

    def __init__(self, path: Path | None, read: Callable[[Path], _Content], name: str, without: str) -> None:
        """Read the file, if there is to be one; `name` is its setting, `without` says what it means to lack it."""
        self._path = path
        self._read = read
        self._name = name
        self._without = without
        self._stamp: tuple[int, ...] | None = None
        self._is_distrusted = False
        self.content: _Content | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Read the file if it is another one than last time; tell whether the content is new. Never raises."""
        if self._path is None:
            return False
        stamp = self._look(self._path)
        if stamp == self._stamp:
            return False
        # Before reading: a file that changes meanwhile is another one the next time.
        self._stamp = stamp
        try:
            content = self._read(self._path)
        except Exception as error:
            # It is read by parsers of others: whatever they trip over, it is the file that is broken.
            self._say("cannot be read", error)
            return False
        if self.content is not None:
            log.info("%s=%s read again", self._name, self._path)
        self.content = content
        self._is_distrusted = False
        return True

    def distrust(self, error: Exception) -> None:
        """Say, once, that what was read turned out to be broken in use."""
        if not self._is_distrusted:
            self._is_distrusted = True
            log.error("%s=%s is damaged: put a whole file in its place; %s", self._name, self._path, _line(error))

    @staticmethod
    def _look(path: Path) -> tuple[int, ...]:
        """Return what tells one file from another; no numbers where there is none."""
        try:
            found = path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _say(self, what: str, error: Exception) -> None:
        meanwhile = self._without if self.content is None else "the last good one stays in use"
        log.error("%s=%s %s, %s: %s", self._name, self._path, what, meanwhile, _line(error))


def _line(error: Exception) -> str:
    return f"{type(error).__name__} {' '.join(str(error).split())}".rstrip()
