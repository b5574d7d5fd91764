"""Dead letters are read, shown, edited and judged again without losing a byte."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.commands.letters import Letter, NoLetter, distinct, read_letter, why_left, why_not
from pipeline.deadletter import dead_letter

LETTERS = st.builds(
    Letter,
    reason=st.sampled_from(("bad_partner", "unreadable_line", "fault")),
    partition=st.integers(0, 99),
    offset=st.integers(0, 2**53),
    line=st.integers(0, 65_535),
    raw=st.binary(max_size=50),
    time=st.integers(0, 2**45),
)
QUERY = b"service=analytics&eventType=3&partnerId=%s&sessionId=s&eventIndex=1"


@given(LETTERS)
def test_what_the_worker_writes_is_read_back_byte_for_byte(letter: Letter) -> None:
    written = dead_letter(letter.reason, letter.partition, letter.offset, letter.line, letter.raw)
    assert read_letter(written, letter.time) == letter


@given(LETTERS, st.sampled_from((0, 3_000_000)))
def test_what_the_list_prints_is_read_back_byte_for_byte(letter: Letter, cut: int) -> None:
    letter = replace(letter, cut=cut)
    assert read_letter(orjson.dumps(letter.as_json())) == letter


@given(st.binary(max_size=100))
def test_bytes_that_are_no_letter_are_refused_and_nothing_else_happens(value: bytes) -> None:
    with pytest.raises(NoLetter):
        read_letter(value)


def test_a_letter_that_a_torn_checkpoint_wrote_twice_is_one_letter() -> None:
    first, other = Letter("fault", 1, 2, 3, b"x", 10), Letter("fault", 1, 2, 4, b"x", 10)
    again = Letter("fault", 1, 2, 3, b"x", 99)
    assert list(distinct([first, other, again])) == [first, other]


def test_a_line_is_ready_once_its_partner_is_repaired() -> None:
    broken = encode(Beacon("b1", 1_795_000_000_000, path=b"/api_v3/index.php", query=QUERY % b"x4242"))
    assert (why_not(broken), why_not(broken.replace(b"x4242", b"4242"))) == ("bad_partner", None)


def test_a_line_that_was_cut_is_never_ready_even_where_what_is_left_can_be_read() -> None:
    line = encode(Beacon("b1", 1_795_000_000_000, path=b"/api_v3/index.php", query=QUERY % b"4242"))
    letter = read_letter(dead_letter("unreadable_line", 0, 1, 0, line + b" " * 3_000_000))
    assert (letter.cut, why_not(letter.raw), why_left(letter)) == (len(line) + 3_000_000, None, "cut")
    assert why_left(replace(letter, cut=0)) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "unreadable_line"),
        (b'{"v":2,"id":"b","time":1795000000000}', "unknown_version"),
        (b'{"v":1,"id":"b","time":1795000000000,"query":"partnerId=1","referer":5}', "bad_field"),
    ],
)
def test_a_line_that_is_none_of_ours_says_why(line: bytes, why: str) -> None:
    assert why_not(line) == why
