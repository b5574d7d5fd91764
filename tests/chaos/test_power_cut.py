"""The power goes at any moment (F19): what the disk had not synced is gone, torn or zeroes; no acked frame is.

A kill leaves the page cache, so no process-level fault shows this: the disk is modelled instead. What fdatasync
was called for stays; of what was written after it any part stays, in any state; a name stays that was synced.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.segments import NotOnDisk, Segments

SEGMENT_BYTES = 2000


class Disk:
    """What a power cut would leave of the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.synced: dict[str, int] = {}
        self.named: set[str] = set()
        self.fails_at = 0
        self._syncs = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See every sync."""
        with patch("os.fdatasync", self._fdatasync), patch("os.fsync", self._fsync):
            yield

    def _fdatasync(self, fd: int) -> None:
        self._syncs += 1
        if self._syncs == self.fails_at:
            raise OSError(5, "Input/output error")
        path = Path(f"/proc/self/fd/{fd}").readlink()
        self.synced[path.name] = path.stat().st_size

    def _fsync(self, fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.is_dir():
            self.named = {one.name for one in path.glob("*.seg")}
        else:
            self.synced[path.name] = path.stat().st_size

    def cut_power(self, kept: float, zeroed: bool) -> None:
        """Leave what was synced, and this share of the rest of each file."""
        for path in self.folder.glob("*.seg"):
            if path.name not in self.named:
                path.unlink()
                continue
            sure, size = self.synced.get(path.name, 0), path.stat().st_size
            rest = int(max(0, size - sure) * kept)
            os.truncate(path, min(size, sure) + rest)
            if zeroed and rest:
                with path.open("r+b") as file:
                    file.seek(sure)
                    file.write(bytes(rest))


# Each of its real syncs may take as long as the disk wants.
@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=12),
    fails_at=st.integers(0, 12),
    unanswered=st.integers(0, 900),
    kept=st.floats(0, 1),
    zeroed=st.booleans(),
)
def test_what_was_acked_is_there_after_a_power_cut(
    sizes: list[int], fails_at: int, unanswered: int, kept: float, zeroed: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        disk = Disk(Path(name))
        disk.fails_at = fails_at
        acked = []
        with disk.watching():
            segments = Segments(disk.folder, SEGMENT_BYTES)
            for number, size in enumerate(sizes):
                value = b"%d " % number + b"x" * size
                try:
                    segments.append([(number, 0, 1, value)])
                except NotOnDisk:
                    continue
                acked.append(value)
            for path in sorted(disk.folder.glob("*.seg"))[-1:] if unanswered else ():
                # Written, and the power goes before its sync.
                with path.open("ab") as file:
                    file.write(b"BCN\x01" + b"y" * unanswered)
            disk.cut_power(kept, zeroed)
        recovered = Segments(disk.folder, SEGMENT_BYTES)
        recovered.recover()
        found = []
        while (segment := recovered.oldest()) is not None:
            found += [frame.value for frame in recovered.read(segment).frames]
            recovered.delete(segment)
        assert found == acked
