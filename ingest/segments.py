"""A spool folder on disk: files of frames, synced before they count, deleted whole. Every call may block."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.frames import Frame, Reading, pack_frame, read_frames

log = logging.getLogger("ingest.spool")


class NotOnDisk(Exception):
    """The frames are not on disk, and will not be read from it later: do not answer 200 for them."""


@dataclass(slots=True, eq=False)
class Segment:
    """A file of frames.

    Attributes:
        path: its file.
        since: when its oldest frame was spooled, Unix milliseconds.
        bytes: how far it counts; what may lie behind that was never answered.
        beacons: in it.
        damaged: places in it that are not readable, as far as they are counted already.
    """

    path: Path
    since: int
    bytes: int
    beacons: int
    damaged: int = 0


# What lies in a spool folder beside its files of frames.
_OWN = ("id", "id.new", "lock", "trial")
_TRIAL_BYTES = 64 * 1024


class Folder:
    """A spool folder that this process alone owns, by a lock that ends with the process."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @staticmethod
    def is_spool(path: Path) -> bool:
        """Tell whether a process that spools made this: there is what one leaves there, and nothing else.

        Raises:
            OSError: it cannot be looked into.
        """
        if not path.is_dir():
            return False
        inside = list(path.iterdir())
        return bool(inside) and all(
            (one.name in _OWN or one.suffix == ".seg") and one.is_file() and not one.is_symlink() for one in inside
        )

    @staticmethod
    def claim(path: Path) -> Folder | None:
        """Return the folder, made if need be; None while another process owns it."""
        missing = [one for one in (path, *path.parents) if not one.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:
            # A file's own sync does not make the names above it last.
            sync_folder(made.parent)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino == (path / "lock").stat().st_ino:
                return Folder(path, lock)
        except (BlockingIOError, FileNotFoundError):
            # Owned, or removed by its owner between our two looks.
            os.close(lock)
            return None
        os.close(lock)
        return None

    def ingest_id(self, given: str) -> str:
        """Return the name of the ingest whose beacons these are: given or drawn at first, then kept."""
        kept = self.path / "id"
        if not kept.exists():
            fresh = self.path / "id.new"
            with fresh.open("w") as file:
                file.write(given or f"ingest-{secrets.token_hex(4)}")
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(kept)
            sync_folder(self.path)
        return kept.read_text()

    def remove(self) -> None:
        """Delete the folder, out of which everything was drained, and give it up.

        Raises:
            OSError: somebody has put something into it meanwhile, which stays.
        """
        try:
            for name in _OWN:
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()
            sync_folder(self.path.parent)
        finally:
            self.release()

    def release(self) -> None:
        """Give the folder up."""
        os.close(self._lock)


class Segments:
    """The frames of a folder: appended at one end, drained and deleted at the other.

    `append` and `seal` belong to one thread; the rest may be called from any.
    """

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._active: int | None = None
        self._sequence = 0
        self.damaged = 0
        self.repeated = 0
        self.cut_bytes = 0

    def recover(self) -> None:
        """Read what an earlier process left; cut the torn tail of its last write.

        Only the last file can end in a write that was never answered: a file is followed by another when all
        in it is synced. Where an earlier one is torn, the disk has lost something.
        """
        paths = sorted(self._folder.glob("*.seg"))
        for path in paths:
            data = path.read_bytes()
            reading = read_frames(data, self._sequence)
            damaged = reading.damaged
            self.repeated += reading.repeated
            if reading.end < len(data):
                self._cut(path, reading.end, len(data))
                damaged += path != paths[-1]
            self.damaged += damaged
            if damaged:
                log.error("spool_damaged file=%s places=%d", path.name, damaged)
            if reading.frames:
                self._sequence = reading.frames[-1].sequence
                since = min(frame.time for frame in reading.frames)
                beacons = sum(frame.beacons for frame in reading.frames)
                self._segments.append(Segment(path, since, reading.end, beacons, damaged))
            else:
                path.unlink()
        sync_folder(self._folder)

    def _cut(self, path: Path, end: int, size: int) -> None:
        self.cut_bytes += size - end
        log.warning("spool_tail_cut file=%s bytes=%d", path.name, size - end)
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())

    def append(self, packs: Sequence[tuple[int, int, int, bytes]]) -> None:
        """Write (time, partition, beacons, value) frames and sync them; raises NotOnDisk if that failed."""
        first = self._sequence + 1
        # Used up even if this fails: what a failed write may leave must not pass for a later frame.
        self._sequence += len(packs)
        frames = [Frame(first + n, *pack) for n, pack in enumerate(packs)]
        data = b"".join(map(pack_frame, frames))
        since = min(frame.time for frame in frames)
        try:
            segment = self._segment_for(first, len(data), since)
            assert self._active is not None
            _write_all(self._active, data)
            os.fdatasync(self._active)
        except OSError as error:
            self._abandon()
            raise NotOnDisk(f"{error.strerror}") from error
        with self._lock:
            segment.bytes += len(data)
            segment.beacons += sum(frame.beacons for frame in frames)
            segment.since = min(segment.since, since)

    def _segment_for(self, first: int, more: int, since: int) -> Segment:
        if self._active is not None and self._segments[-1].bytes + more > self._segment_bytes:
            self.seal(self._segments[-1])
        if self._active is None:
            path = self._folder / f"{first:020d}.seg"
            self._active = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with self._lock:
                self._segments.append(Segment(path, since, 0, 0))
            sync_folder(self._folder)
        return self._segments[-1]

    def _abandon(self) -> None:
        """After a failed write or sync: never touch that file's tail again, and keep it from being read.

        The kernel may have dropped the dirty pages and call the file clean: another sync would prove nothing.
        """
        if self._active is None:
            return
        fd, self._active = self._active, None
        segment = self._segments[-1]
        if not segment.bytes:
            with self._lock:
                self._segments.pop()
        try:
            os.ftruncate(fd, segment.bytes)
            if not segment.bytes:
                segment.path.unlink()
        except OSError as error:
            log.error("spool_tail_stays file=%s error=%s", segment.path.name, error.strerror)
        os.close(fd)

    def seal(self, segment: Segment) -> None:
        """Write no more to this file, so that it can be drained; the next append begins another."""
        if self._active is not None and self._segments[-1] is segment:
            os.close(self._active)
            self._active = None

    def oldest(self) -> Segment | None:
        """Return the file to drain next."""
        with self._lock:
            return self._segments[0] if self._segments else None

    def read(self, segment: Segment) -> Reading:
        """Return the frames of a sealed file."""
        with segment.path.open("rb") as file:
            return read_frames(file.read(segment.bytes))

    def delete(self, segment: Segment) -> None:
        """Delete a sealed file, all of which Kafka has."""
        segment.path.unlink(missing_ok=True)
        self.forget(segment)
        try:
            sync_folder(self._folder)
        except OSError as error:
            # After a power cut the file may be there again: its beacons would come twice, by the same ids.
            log.error("spool_folder_not_synced folder=%s error=%s", self._folder.name, error.strerror)

    def forget(self, segment: Segment) -> bool:
        """Take a file that is not there any more off the list; False: it was not on it, as its first write failed."""
        with self._lock:
            if segment not in self._segments:
                return False
            self._segments.remove(segment)
            return True

    def since(self) -> int | None:
        """Return when the oldest frame was spooled, Unix milliseconds; None if there is none."""
        with self._lock:
            return min((segment.since for segment in self._segments), default=None)

    def bytes(self) -> int:
        """Return the bytes in all files."""
        with self._lock:
            return sum(segment.bytes for segment in self._segments)

    def trial(self) -> None:
        """Write and sync something that is kept by nobody; raises OSError if the disk still fails."""
        path = self._folder / "trial"
        try:
            with path.open("wb") as file:
                file.write(bytes(_TRIAL_BYTES))
                file.flush()
                os.fdatasync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Return what is left on this disk."""
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize


def sync_folder(folder: Path) -> None:
    """Make created, renamed and deleted names last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
