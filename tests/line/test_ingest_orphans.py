"""Spools that are left behind: every one is drained, and nothing else in that folder is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.drain import Drain, Orphans
from ingest.metrics import Ledger
from ingest.segments import Folder, Segments


class Taking:
    """A Kafka that takes everything at once."""

    topics_doubtful = False

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def send(self, partition: int, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        self.taken.append(value)
        delivered(None)
        return True

    def poll(self) -> None:
        """Nothing is ever late here."""


def _spool(folder: Path, value: bytes) -> None:
    """Leave a spool as a process leaves it that dies: claimed, with a file that holds one frame."""
    claimed = Folder.claim(folder)
    assert claimed is not None
    claimed.ingest_id("")
    Segments(folder, 1 << 24).append([(0, 0, 1, value)])
    claimed.release()


def _inside(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _orphans(root: Path, kafka: Taking, signed_off: list[str]) -> Orphans:
    async def sign_off(name: str) -> None:
        signed_off.append(name)

    return Orphans(root, 1 << 24, Drain(kafka, lambda: True, Ledger(), 1, 1 << 30), sign_off)


async def test_a_folder_of_a_name_that_was_adopted_before_is_drained_like_the_first(tmp_path: Path) -> None:
    kafka, signed_off = Taking(), list[str]()
    orphans = _orphans(tmp_path, kafka, signed_off)
    for number in (1, 2):
        _spool(tmp_path / "ingest.0", b"beacon %d" % number)
        await orphans.look()
    assert kafka.taken == [b"beacon 1", b"beacon 2"]
    assert (_inside(tmp_path), len(signed_off)) == (set(), 2)


async def test_what_is_no_spool_is_left_as_it_is_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = Taking()
    # Another machine's whole spool root, a worker's store, a file, a link, and a folder that nobody may look into.
    _spool(tmp_path / "old-machine" / "ingest.0", b"answered")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "CURRENT").write_text("rocksdb")
    (tmp_path / "notes.seg").write_text("a file")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / f"{1:020d}.seg").symlink_to(tmp_path / "notes.seg")
    (tmp_path / "empty").mkdir()
    _spool(tmp_path / "spool.3", b"beacon")
    before = {path for path in _inside(tmp_path) if "spool.3" not in path.parts}
    orphans = _orphans(tmp_path, kafka, [])
    await orphans.look()
    await orphans.look()
    assert _inside(tmp_path) == before
    assert kafka.taken == [b"beacon"]
    said = [record.args[0] for record in caplog.records if isinstance(record.args, tuple) and record.args]
    assert sorted(name for name in said if name in ("empty", "linked", "old-machine", "state")) == [
        "empty",
        "linked",
        "old-machine",
        "state",
    ]


async def test_a_folder_that_cannot_be_looked_into_keeps_no_other_from_being_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = Taking()
    (tmp_path / "lost+found").mkdir()
    _spool(tmp_path / "spool.0", b"beacon")
    looked = Folder.is_spool

    def refused(path: Path) -> bool:
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return looked(path)

    monkeypatch.setattr(Folder, "is_spool", staticmethod(refused))
    await _orphans(tmp_path, kafka, []).look()
    assert kafka.taken == [b"beacon"]
    assert "lost+found why=Permission denied" in caplog.text


async def test_what_somebody_put_into_a_spool_while_it_was_drained_stays(tmp_path: Path) -> None:
    kafka = Taking()
    _spool(tmp_path / "ingest.0", b"beacon")

    async def sign_off(name: str) -> None:
        (tmp_path / "ingest.0" / f"{9:020d}.seg").write_bytes(b"copied in just now")

    orphans = Orphans(tmp_path, 1 << 24, Drain(kafka, lambda: True, Ledger(), 1, 1 << 30), sign_off)
    await orphans.look()
    assert [path.name for path in _inside(tmp_path / "ingest.0")] == [f"{9:020d}.seg"]


async def test_a_spool_that_could_not_be_read_is_drained_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = Taking()
    _spool(tmp_path / "ingest.0", b"beacon")
    orphans = _orphans(tmp_path, kafka, [])
    with monkeypatch.context() as broken:

        def fails(segments: Segments) -> None:
            raise OSError(5, "Input/output error")

        broken.setattr(Segments, "recover", fails)
        await orphans.look()
    assert kafka.taken == []
    await orphans.look()
    assert (kafka.taken, _inside(tmp_path)) == ([b"beacon"], set())
