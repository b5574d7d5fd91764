"""A spool folder on a real disk: what was synced is read again, whatever befell the files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ingest.frames import Frame, pack_frame
from ingest.segments import Folder, NotOnDisk, Segments

SMALL = 64 * 1024


def pack(n: int) -> tuple[int, int, int, bytes]:
    return (1000 + n, n % 8, 1, b"line %d" % n)


def opened(folder: Path, segment_bytes: int = SMALL) -> Segments:
    segments = Segments(folder, segment_bytes)
    segments.recover()
    return segments


def values(segments: Segments) -> list[bytes]:
    """Every value in the folder, oldest first; the files stay."""
    found = []
    for segment in list(segments._segments):
        found += [frame.value for frame in segments.read(segment).frames]
    return found


def test_what_was_appended_is_there_after_a_new_start(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.append([pack(1), pack(2)])
    first.append([pack(3)])
    again = opened(tmp_path)
    assert values(again) == [b"line 1", b"line 2", b"line 3"]
    assert (again.since(), again.damaged, again.cut_bytes) == (1001, 0, 0)


def test_a_torn_tail_is_cut_at_the_start_and_never_read(tmp_path: Path) -> None:
    opened(tmp_path).append([pack(1)])
    (file,) = tmp_path.glob("*.seg")
    good = file.stat().st_size
    with file.open("ab") as tail:
        tail.write(pack_frame(Frame(2, 1, 0, 1, b"never answered"))[:-1])
    again = opened(tmp_path)
    assert (values(again), file.stat().st_size, again.cut_bytes > 0) == ([b"line 1"], good, True)


def test_a_file_of_zeros_is_nothing(tmp_path: Path) -> None:
    (tmp_path / f"{1:020d}.seg").write_bytes(bytes(4096))
    again = opened(tmp_path)
    assert (again.oldest(), again.bytes(), again.cut_bytes) == (None, 0, 4096)


def test_a_flipped_bit_in_the_middle_costs_one_frame_and_is_metered(tmp_path: Path) -> None:
    opened(tmp_path).append([pack(1), pack(2), pack(3)])
    (file,) = tmp_path.glob("*.seg")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    again = opened(tmp_path)
    assert (values(again), again.damaged) == ([b"line 1", b"line 3"], 1)


def test_a_copied_file_is_not_drained_twice(tmp_path: Path) -> None:
    opened(tmp_path).append([pack(1), pack(2)])
    (file,) = tmp_path.glob("*.seg")
    (tmp_path / f"{9:020d}.seg").write_bytes(file.read_bytes())
    again = opened(tmp_path)
    assert (values(again), again.repeated) == ([b"line 1", b"line 2"], 2)


def test_a_full_file_is_followed_by_another_and_deleted_whole(tmp_path: Path) -> None:
    segments = opened(tmp_path, 200)
    for n in range(1, 7):
        segments.append([(n, 0, 1, b"x" * 80)])
    assert len(list(tmp_path.glob("*.seg"))) == 6
    oldest = segments.oldest()
    assert oldest is not None
    segments.delete(oldest)
    assert (segments.since(), len(list(tmp_path.glob("*.seg")))) == (2, 5)


def test_a_sealed_file_is_written_no_more(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    segments.append([pack(1)])
    sealed = segments.oldest()
    assert sealed is not None
    segments.seal(sealed)
    segments.append([pack(2)])
    assert [frame.value for frame in segments.read(sealed).frames] == [b"line 1"]
    assert len(list(tmp_path.glob("*.seg"))) == 2


class FailingDisk:
    """Makes the n-th call of one of the disk's functions fail; those before and after do their work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, call: int, error: int) -> None:
        self._real = getattr(os, name)
        self._left = call
        self._error = error
        monkeypatch.setattr(f"ingest.segments.os.{name}", self)

    def __call__(self, *args: object) -> object:
        self._left -= 1
        if self._left == 0:
            raise OSError(self._error, os.strerror(self._error))
        return self._real(*args)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fdatasync", errno.EIO),
        ("write", errno.ENOSPC),
        ("write", errno.EFBIG),
        ("open", errno.EMFILE),
        ("fsync", errno.EIO),
    ],
)
@pytest.mark.parametrize("call", range(1, 7))
def test_after_any_failed_call_what_was_promised_is_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: int, call: int
) -> None:
    promised = []
    segments = opened(tmp_path, 200)
    with monkeypatch.context() as patched:
        FailingDisk(patched, name, call, error)
        for n in range(1, 8):
            try:
                segments.append([(n, 0, 1, b"%d" % n * 50)])
                promised.append(b"%d" % n * 50)
            except NotOnDisk:
                pass
    assert len(promised) >= 6
    assert values(segments) == promised
    assert values(opened(tmp_path)) == promised


def test_a_short_write_is_written_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("ingest.segments.os.write", lambda fd, data: real(fd, bytes(data[:7])))
    opened(tmp_path).append([pack(1)])
    assert values(opened(tmp_path)) == [b"line 1"]


def test_a_tail_that_can_not_be_cut_never_hides_a_later_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = opened(tmp_path)
    segments.append([pack(1)])
    with monkeypatch.context() as patched:
        FailingDisk(patched, "fdatasync", 1, errno.EIO)
        FailingDisk(patched, "ftruncate", 1, errno.EIO)
        with pytest.raises(NotOnDisk):
            segments.append([pack(2)])
    segments.append([pack(3)])
    assert values(segments) == [b"line 1", b"line 3"]
    # After a new start the second may come too: it was answered by nothing, and its place is told in the log.
    assert set(values(opened(tmp_path))) >= {b"line 1", b"line 3"}


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    owner = Folder.claim(tmp_path / "ingest.0")
    assert owner is not None
    assert Folder.claim(tmp_path / "ingest.0") is None
    owner.release()
    assert Folder.claim(tmp_path / "ingest.0") is not None


def test_the_name_of_an_ingest_stays_with_its_folder(tmp_path: Path) -> None:
    owner = Folder.claim(tmp_path / "ingest.0")
    assert owner is not None
    name = owner.ingest_id("")
    assert (owner.ingest_id("other"), name.startswith("ingest-")) == (name, True)


def test_a_removed_folder_is_gone_with_all_in_it(tmp_path: Path) -> None:
    owner = Folder.claim(tmp_path / "ingest.0")
    assert owner is not None
    owner.ingest_id("")
    owner.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_torn_file_that_others_follow_is_damaged_and_a_torn_last_one_is_not(tmp_path: Path) -> None:
    segments = opened(tmp_path, 100)
    for n in range(1, 4):
        segments.append([(n, 0, 1, b"%d" % n * 60)])
    first, second, last = sorted(tmp_path.glob("*.seg"))
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(bytes(second.stat().st_size))
    last.write_bytes(last.read_bytes()[:-1])
    cut = sum(path.stat().st_size for path in (first, second, last))
    again = opened(tmp_path, 100)
    assert (again.damaged, again.cut_bytes, again.oldest()) == (2, cut, None)


def test_a_file_whose_deletion_could_not_be_synced_is_off_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    segments = opened(tmp_path)
    segments.append([pack(1)])
    segment = segments.oldest()
    assert segment is not None
    segments.seal(segment)
    FailingDisk(monkeypatch, "fsync", 1, errno.EIO)
    segments.delete(segment)
    assert (segments.oldest(), segments.since(), list(tmp_path.glob("*.seg"))) == (None, None, [])
    assert "spool_folder_not_synced" in caplog.text


def test_every_folder_that_is_made_is_synced_into_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("ingest.segments.sync_folder", synced.append)
    Folder.claim(tmp_path / "data" / "spool" / "ingest.0")
    assert set(synced) == {tmp_path, tmp_path / "data", tmp_path / "data" / "spool"}
    synced.clear()
    Folder.claim(tmp_path / "data" / "spool" / "ingest.1")
    assert synced == [tmp_path / "data" / "spool"]
