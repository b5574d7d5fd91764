"""The key file: read again when it changes; a broken one leaves the last good keys in force."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from pipeline.report.auth import BrokenKeys, KeyRing, read_keys, write_keys

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]


class KeyFile:
    """Keys of a file, as it last made sense."""

    def __init__(self, path: Path) -> None:
        """Read the file; a broken one is an error here, where there are no good keys to keep."""
        self._path = path
        self._stamp = self._look()
        self.ring: KeyRing = read_keys(path.read_bytes())
        self.reloads = 0
        self.broken = 0

    def _look(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def poll(self) -> bool:
        """Read the file if it is another one than last time; tell whether the keys are new."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.ring = read_keys(self._path.read_bytes())
        except (OSError, BrokenKeys) as error:
            self.broken += 1
            log.error("key file is not used, the last good one stays in force: %s", error)
            return False
        self.reloads += 1
        log.info("key file read again: %d keys", len(self.ring))
        return True


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in place whole, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save(path: Path, ring: KeyRing) -> None:
    """Write these keys."""
    replace_file(path, write_keys(ring))


def load_or_empty(path: Path) -> KeyRing:
    """Return the keys of a file, or none where there is no file."""
    return read_keys(path.read_bytes()) if path.exists() else {}
