"""A dead letter gives back the line, byte for byte, and never grows over what Kafka takes."""

from __future__ import annotations

import json
from base64 import b64decode

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config import LineSettings
from pipeline.deadletter import MAX_LETTER_BYTES, MOST_RAW_BYTES, dead_letter
from pipeline.topics import MAX_RECORD_BYTES, topic_plans

ROOM_FOR_PLACE = 150


def _raw(letter: bytes) -> bytes:
    words = json.loads(letter)
    return words["raw"].encode() if "raw" in words else b64decode(words["raw64"], validate=True)


@given(raw=st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode("utf-8", "ignore")))
@example(raw=b"")
@example(raw=b"\xff")
@example(raw=b'"\\"' * 9)
def test_a_letter_gives_back_the_line(raw: bytes) -> None:
    letter = dead_letter("bad_partner", 3, 7, 2, raw)
    assert _raw(letter) == raw
    assert {name: json.loads(letter)[name] for name in ("reason", "partition", "offset", "line")} == {
        "reason": "bad_partner",
        "partition": 3,
        "offset": 7,
        "line": 2,
    }
    assert b"\n" not in letter


def test_an_ordinary_line_stays_readable() -> None:
    raw = b'{"v":1,"id":"i-1","time":1,"query":"a=b","body":"{\\"a\\":1}"}'
    assert json.loads(dead_letter("fault", 0, 0, 0, raw))["raw"] == raw.decode()


def test_no_line_that_a_record_can_hold_makes_a_letter_that_kafka_refuses() -> None:
    for byte in (b'"', b"\\", b"\x01", b"\xff", b"a"):
        letter = dead_letter("unreadable_line", 7, 2**62, 65_535, byte * MAX_RECORD_BYTES)
        assert len(letter) <= MAX_RECORD_BYTES * 4 // 3 + ROOM_FOR_PLACE < MAX_LETTER_BYTES


# Compressed, a record of zeros of this length is 12 kB, and Kafka takes it.
@given(part=st.binary(min_size=1, max_size=40), size=st.integers(MOST_RAW_BYTES - 3, 3_000_000))
@example(part=b"\0", size=3_000_000)
@example(part="é".encode(), size=MOST_RAW_BYTES + 1)
@settings(max_examples=10)
def test_a_line_of_any_length_makes_a_letter_that_kafka_takes_and_that_says_what_it_lacks(
    part: bytes, size: int
) -> None:
    raw = (part * (size // len(part) + 1))[:size]
    letter = dead_letter("unreadable_line", 99_999, 2**62, 65_535, raw)
    # What Kafka puts around it is less than this.
    assert len(letter) + 1_000 < MAX_LETTER_BYTES
    kept = _raw(letter)
    assert raw.startswith(kept)
    assert json.loads(letter).get("cut", len(kept)) == len(raw)
    assert len(kept) == min(len(raw), MOST_RAW_BYTES)


def test_the_topic_of_dead_letters_takes_the_longest_one() -> None:
    settings = {plan.name: plan.settings for plan in topic_plans(LineSettings(), 86_400)}
    assert settings["rejected"]["max.message.bytes"] == str(MAX_LETTER_BYTES)
