"""What readers of beacons remember: bounded in characters, whatever anybody sends, and no answer is another for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline import amounts, dimensions
from pipeline.amounts import DAY_MS, Amounts
from pipeline.catalog import DIMENSIONS, METRICS
from pipeline.dimensions import DimensionReader, Remembered
from pipeline.enrich.beacons_own import BeaconsOwn
from pipeline.event import Event, EventReader
from pipeline.parameters import Rejected
from tests.pipeline.lines import NOON, get_line, line_of
from tests.pipeline.meanings import CASES, changed

# A beacon's own words only: reading an agent is slow, and no other dimension is remembered in another way.
SAID = [dimension for dimension in DIMENSIONS if dimension.source in ("parameter", "referrer")]
LONG = "9" * 2_000
SPACES = "+" * 2_000
ESCAPED = "%30" * 700


def _memories(of: object) -> Iterator[Remembered[Any, Any]]:
    for part in vars(of).values():
        if isinstance(part, Remembered):
            yield part
        elif isinstance(part, Amounts | DimensionReader | BeaconsOwn):
            yield from _memories(part)


def _held(reader: EventReader) -> int:
    """Return the characters of all that a reader remembers, what was asked and what was answered."""
    return sum(_characters(entry) for memory in _memories(reader) for entry in memory.items())


def _characters(value: object) -> int:
    if isinstance(value, tuple | frozenset):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str | dict) else 0


def _reader() -> EventReader:
    return EventReader(METRICS, SAID, BeaconsOwn())


def _read(reader: EventReader, line: bytes) -> Event | str:
    try:
        return reader.read(line)
    except Rejected as rejected:
        return rejected.reason.value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("eventType", "{n}" + LONG),
        ("eventType", "{n}" + ESCAPED),
        ("service", "analytics{n}" + LONG),
        ("action", "trackEvent{n}" + LONG),
        ("partnerId", SPACES + "{n}"),
        ("partnerId", "%09{n}" + SPACES),
        ("entryId", "{n}" + LONG),
        ("entryId", "{n}" + "%2B" * 60),
        ("playbackType", "{n}" + LONG),
        ("referrer", "https://a.example/{n}" + LONG),
    ],
)
def test_long_texts_sent_on_purpose_are_understood_and_not_kept(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimensions, "MAX_CHARACTERS", 100_000)
    reader = _reader()
    for n in range(1, 1_001):
        # Of a name given twice, the first counts.
        line = get_line(f"{name}={text.format(n=n)}&{changed()}")
        event = _read(reader, line)
        if n % 250 == 1:
            assert event == _read(_reader(), line)
            assert _read(reader, get_line(changed())) == _read(_reader(), get_line(changed()))
            # Some memories by texts, and what was answered, which is hardly longer.
            assert _held(reader) < 500_000


def test_a_body_that_is_mostly_one_number_leaves_nothing_behind() -> None:
    reader = _reader()
    for n in range(1, 101):
        body = b'{"service":"analytics","eventType":"%d%s","partnerId":1,"sessionId":"s"}' % (n, b"9" * 250_000)
        reader.read(encode(Beacon("i-1", NOON * 1000, method="POST", path=b"/x", body=body)))
    assert _held(reader) < 100_000


@given(order=st.permutations(range(len(CASES))), most=st.sampled_from([0, 10, 100, 4_096]))
def test_no_answer_depends_on_how_much_is_remembered(order: list[int], most: int) -> None:
    small, plain = _reader(), _reader()
    for memory in _memories(small):
        memory._longest = most
    for number in [*order, *order]:
        line = line_of(CASES[number])
        assert _read(small, line) == _read(plain, line)


@given(asked=st.lists(st.text(max_size=30) | st.tuples(st.none() | st.text(max_size=30), st.text(max_size=30))))
def test_what_is_remembered_stays_under_its_bounds_and_is_what_was_put_in(asked: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dimensions, "MAX_CHARACTERS", 100)
        patched.setattr(dimensions, "MAX_ANSWERS", 5)
        memory: Remembered[Any, int] = Remembered(longest=40)
        for answer, one in enumerate(asked):
            assert memory.remember(one, answer) == answer
            assert memory.get(one, answer) == answer
            assert len(memory) <= 5
            assert sum(map(_characters, memory)) <= 100
            assert all(_characters(each) <= 40 for each in memory)


def test_a_long_number_is_read_and_not_kept() -> None:
    amounts.number_of("1.5", 1000, DAY_MS)
    kept = amounts._known_number.cache_info().currsize
    assert amounts.number_of("0" * 14 + "2.25", 1000, DAY_MS) == 2_250
    assert amounts.number_of("9" * 10_000, 1000, DAY_MS) == -1
    assert amounts._known_number.cache_info().currsize == kept
