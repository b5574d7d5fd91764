"""A spool that is drained in bad times: a folder not synced, a file that is damaged, a record that Kafka refuses."""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.drain import Drain, Orphans
from ingest.metrics import Ledger
from ingest.segments import Folder, Segment, Segments


class Kafka:
    """Takes every record, or refuses the first so many at once."""

    topics_doubtful = False

    def __init__(self, refuses: int = 0) -> None:
        self.refuses = refuses
        self.taken: list[bytes] = []

    def send(self, partition: int, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        if self.refuses:
            self.refuses -= 1
            delivered("INVALID_RECORD")
        else:
            self.taken += value.split(b"\n")
            delivered(None)
        return True

    def poll(self) -> None:
        """Nothing is ever late here."""


def spooled(folder: Path, *groups: tuple[bytes, ...]) -> Segments:
    """Return a spool with a file for each group, a frame for each of its values."""
    segments = Segments(folder, 1)
    segments.recover()
    for group in groups:
        segments.append([(1, 0, 1, value) for value in group])
    return segments


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


async def drained(segments: Segments, kafka: Kafka | None = None) -> tuple[Ledger, list[bytes]]:
    kafka = kafka or Kafka()
    ledger = Ledger()

    async def seal(segment: Segment) -> None:
        segments.seal(segment)

    async with asyncio.timeout(30):
        await Drain(kafka, lambda: True, ledger, 1, 1 << 30).empty(segments, seal)
    return ledger, kafka.taken


async def test_one_failed_sync_of_the_folder_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = spooled(tmp_path, (b"a",), (b"b",))
    failures = [OSError(errno.EMFILE, "Too many open files")]

    def fails_once(folder: Path) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr("ingest.segments.sync_folder", fails_once)
    ledger, taken = await drained(segments)
    assert (taken, ledger.drained, failures) == ([b"a", b"b"], 2, [])
    assert (segments.oldest(), files(tmp_path)) == (None, [])


@pytest.mark.parametrize("damage", ["last frame", "cut", "zeros", "middle"])
async def test_damage_of_what_was_answered_is_counted_and_said_once_wherever_it_is(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    segments = spooled(tmp_path, (b"first", b"second", b"third"), (b"fourth",))
    file = files(tmp_path)[0]
    data = bytearray(file.read_bytes())
    match damage:
        case "last frame":
            data[-1] ^= 1
        case "cut":
            del data[-1]
        case "zeros":
            data[:] = bytes(len(data))
        case _:
            data[data.index(b"second")] ^= 1
    file.write_bytes(data)
    left = {"middle": [b"first", b"third"], "zeros": []}.get(damage, [b"first", b"second"])
    # The file is begun again twice.
    ledger, taken = await drained(segments, Kafka(refuses=2 if left else 0))
    assert taken == [*left, b"fourth"]
    assert (ledger.spool_damaged, ledger.drained, ledger.spool_cut_bytes) == (1, len(taken), 0)
    said = [record.message for record in caplog.records if "spool_damaged" in record.message]
    assert said == [f"spool_damaged file={file.name} places=1 beacons_lost={3 - len(left)}"]


async def test_the_torn_end_of_a_write_that_was_never_answered_is_no_damage(tmp_path: Path) -> None:
    spooled(tmp_path, (b"first",), (b"second", b"never answered"))
    file = files(tmp_path)[-1]
    file.write_bytes(file.read_bytes()[:-1])
    again = spooled(tmp_path)
    ledger, taken = await drained(again)
    assert taken == [b"first", b"second"]
    assert (again.damaged + ledger.spool_damaged, ledger.drained, again.cut_bytes > 0) == (0, 2, True)


async def test_damage_found_at_the_start_is_not_counted_again_by_the_drain(tmp_path: Path) -> None:
    spooled(tmp_path, (b"first", b"second", b"third"), (b"fourth",))
    file = files(tmp_path)[0]
    data = bytearray(file.read_bytes())
    data[data.index(b"second")] ^= 1
    file.write_bytes(data)
    again = spooled(tmp_path)
    ledger, taken = await drained(again)
    assert (again.damaged, ledger.spool_damaged, taken) == (1, 0, [b"first", b"third", b"fourth"])


async def test_damage_in_an_orphan_is_counted_once(tmp_path: Path) -> None:
    folder = Folder.claim(tmp_path / "ingest.0")
    assert folder is not None
    folder.ingest_id("")
    spooled(folder.path, (b"first", b"second"), (b"third",))
    file = files(folder.path)[0]
    file.write_bytes(file.read_bytes()[:-1])
    folder.release()
    ledger, kafka = Ledger(), Kafka()

    async def sign_off(name: str) -> None:
        """Nobody listens here."""

    await Orphans(tmp_path, 1 << 24, Drain(kafka, lambda: True, ledger, 1, 1 << 30), sign_off).look()
    assert (kafka.taken, ledger.spool_damaged, ledger.spool_cut_bytes > 0) == ([b"first", b"third"], 1, True)


async def test_a_record_that_kafka_refuses_is_tried_more_and_more_seldom_and_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("ingest.drain._AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("ingest.drain._AGAIN_SECONDS_AT_MOST", 0.04)
    waits: list[float] = []
    wait = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds >= 0.01:
            waits.append(seconds)
        await wait(seconds)

    monkeypatch.setattr("ingest.drain.asyncio.sleep", noted)
    segments = spooled(tmp_path, (b"a",), (b"b",))
    kafka = Kafka(refuses=5)
    taken = (await drained(segments, kafka))[1]
    said = [record.message for record in caplog.records if "drain_interrupted" in record.message]
    assert (waits, taken) == ([0.01, 0.02, 0.04, 0.04, 0.04], [b"a", b"b"])
    assert [re.sub(r".* error=", "", line) for line in said] == ["INVALID_RECORD"] * 5


async def test_after_a_file_that_went_well_the_next_is_tried_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    segments = spooled(tmp_path, (b"a",), (b"b",))
    kafka = Kafka(refuses=2)
    send = kafka.send

    def refuses_b_too(partition: int, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        if kafka.taken == [b"a"] and not said_again:
            said_again.append(value)
            kafka.refuses = 1
        return send(partition, value, delivered)

    said_again: list[bytes] = []
    monkeypatch.setattr(kafka, "send", refuses_b_too)
    assert (await drained(segments, kafka))[1] == [b"a", b"b"]
    waits = re.findall(r"again_in=(\S+)", caplog.text)
    assert waits == ["0.1", "0.2", "0.1"]


async def test_folders_that_cannot_be_listed_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Folder.claim(tmp_path / "ingest.0")
    assert folder is not None
    folder.ingest_id("")
    spooled(folder.path, (b"beacon",))
    folder.release()
    kafka = Kafka()

    async def sign_off(name: str) -> None:
        """Nobody listens here."""

    orphans = Orphans(tmp_path, 1 << 24, Drain(kafka, lambda: True, Ledger(), 1, 1 << 30), sign_off)
    with monkeypatch.context() as broken:

        def fails(path: Path) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        broken.setattr(Path, "iterdir", fails)
        await orphans.look()
    assert kafka.taken == []
    assert "Too many open files" in caplog.text
    await orphans.look()
    assert kafka.taken == [b"beacon"]
