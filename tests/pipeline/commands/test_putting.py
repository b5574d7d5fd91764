"""What commands put into beacons is remembered by digests, and packed without reordering a partition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import putting
from pipeline.commands.notes import Note, digest_of, note_key, pack_note, unpack_note
from pipeline.commands.putting import PACK_BYTES, PACK_LINES, Done, Putter, Ready, packed
from tests.pipeline.commands.kept_topics import BEACONS, IMPORTS, KeptProducer, KeptTopics

DIGESTS = st.frozensets(st.binary(min_size=16, max_size=16), max_size=20)
TIMES = st.integers(-(2**62), 2**62)


@given(st.booleans(), TIMES, TIMES, DIGESTS, st.lists(st.integers(0, 2**62), max_size=5))
def test_a_note_is_read_back_as_it_was_written(
    done: bool, low: int, high: int, digests: frozenset[bytes], ends: list[int]
) -> None:
    note = Note(done, low, high, digests, tuple(ends))
    assert unpack_note(pack_note(note)) == note


@pytest.mark.parametrize("value", [b"", b"\x02" + bytes(17), bytes(18), b"\x01" * 19, b"\x02" + b"\xff" * 33])
def test_bytes_that_are_no_note_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="topic imports"):
        unpack_note(value)


@given(DIGESTS)
def test_the_same_lines_have_the_same_key_in_any_order(digests: frozenset[bytes]) -> None:
    assert note_key(list(digests)) == note_key(sorted(digests, reverse=True))


@pytest.mark.parametrize(
    ("low", "high", "meets"), [(0, 9, False), (0, 10, True), (12, 13, True), (20, 99, True), (21, 99, False)]
)
def test_a_note_meets_the_times_that_it_spans(low: int, high: int, meets: bool) -> None:
    #  0 ....... 9|10 === note === 20|21 ....
    assert Note(True, 10, 20, frozenset()).meets(low, high) is meets


def test_record_ids_that_differ_have_digests_that_differ() -> None:
    assert len({digest_of(f"b-{number}") for number in range(1000)} | {digest_of("\ud800")}) == 1001


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=50))
def test_packing_keeps_every_line_in_the_order_of_its_partition(lines: list[tuple[int, int]]) -> None:
    ready = [Ready(str(at), 0, part, b"%d-" % at + b"x" * size) for at, (part, size) in enumerate(lines)]
    records = list(packed(ready))
    for part in range(3):
        unpacked = [line for to, value in records if to == part for line in value.split(b"\n")]
        assert unpacked == [line.line for line in ready if line.partition == part]


def test_a_record_holds_so_many_lines_and_bytes_and_no_more() -> None:
    many = [Ready(str(number), 0, 0, b"x") for number in range(PACK_LINES + 1)]
    large = [Ready(str(number), 0, 1, b"x" * (PACK_BYTES // 2 - 1)) for number in range(3)]
    sizes = [(to, value.count(b"\n") + 1) for to, value in packed(many + large)]
    assert sorted(sizes) == [(0, 1), (0, PACK_LINES), (1, 1), (1, 2)]


class Died(Exception):
    """The command was killed here."""


LINES = [Ready(f"b-{number}", 1_794_000_000_000, number % 2, b'{"v":1,"id":"b-%d"}' % number) for number in range(10)]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> KeptTopics:
    topics = KeptTopics(partitions=2)
    monkeypatch.setattr(putting, "Producer", lambda settings: KeptProducer(topics))
    return topics


def begun(kept: KeptTopics) -> Putter:
    broker: Any = kept
    putter = Putter(broker)
    putter.begin(0, 2**60)
    return putter


def die_before(kept: KeptTopics, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Put the lines by a command that dies before it does a step of it."""
    putter = begun(kept)
    note = putter._note

    def dying(key: bytes, said: Note) -> None:
        if said.done:
            raise Died
        note(key, said)

    def produced(lines: list[Ready]) -> None:
        raise Died

    monkeypatch.setattr(putter, *(("_note", dying) if step == "its note of done" else ("_produce", produced)))
    with pytest.raises(Died):
        putter.put(LINES)


def test_what_a_command_that_died_had_put_is_not_put_again(kept: KeptTopics, monkeypatch: pytest.MonkeyPatch) -> None:
    die_before(kept, monkeypatch, "its note of done")
    assert begun(kept).put(LINES) == Done(0, 10)
    assert len(kept.lines()) == 10


@pytest.mark.parametrize("version", [1, 2])
def test_lines_that_may_have_been_put_and_removed_since_are_taken_as_put_and_told(
    kept: KeptTopics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: int
) -> None:
    die_before(kept, monkeypatch, "its note of done")
    if version == 1:
        _, value, written_ms = kept.records[IMPORTS][0].pop()
        note = replace(unpack_note(value), ends=())
        kept.records[IMPORTS][0].append((note_key(note.digests), pack_note(note), written_ms))
    kept.clock_ms += 8 * 86_400_000
    kept.remove_all(BEACONS)
    assert begun(kept).put(LINES) == Done(0, 10)
    said = capsys.readouterr().err
    assert said.startswith("10 lines received 2026-11-06 21:20:00 to 2026-11-06 21:20:00 UTC are taken as put")
    assert begun(kept).put(LINES) == Done(0, 10)
    assert (len(kept.lines()), capsys.readouterr().err) == (10, "")


def test_what_a_command_that_died_had_not_put_is_put_where_only_older_records_were_removed(
    kept: KeptTopics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.records[BEACONS][0].append((b"", b'{"v":1,"id":"older"}', kept.clock_ms))
    kept.remove_all(BEACONS)
    die_before(kept, monkeypatch, "putting")
    assert begun(kept).put(LINES) == Done(10, 0)
    assert (len(kept.lines()), capsys.readouterr().err) == (11, "")
