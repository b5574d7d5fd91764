"""At most ten log lines a second, each of them one line, whatever comes."""

from __future__ import annotations

import logging

from ingest.logs import AtMost, _Line


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("ingest", logging.INFO, "", 0, text, None, None)


def test_more_lines_than_allowed_in_a_second_are_held_back_and_counted() -> None:
    #  second 0: ten pass, fifteen do not | second 1: the first says so
    now = 0.0
    at_most = AtMost(10, lambda: now)
    assert [at_most.filter(record("x")) for _ in range(25)] == [True] * 10 + [False] * 15
    now = 1.0
    first, second = record("y"), record("z")
    assert (at_most.filter(first), at_most.filter(second)) == (True, True)
    assert (first.held_back, second.held_back) == (15, 0)


def test_a_line_break_in_a_message_starts_no_line() -> None:
    for as_json in (True, False):
        shown = _Line(as_json).format(record("a\nCRITICAL forged\x1b[0m"))
        assert "\n" not in shown
        assert "\x1b" not in shown
