"""The players' own table says what the report must say."""

from __future__ import annotations

from deploy.players.tally import Sent, Tally


def test_a_table_lists_entries_by_plays_and_adds_them_up() -> None:
    tally = Tally()
    tally.answered("42", "1_quiet", 3, 0)
    for kind, buffer_ms in ((3, 500), (3, 0), (99, 1500), (4, 700), (98, 0)):
        tally.answered("42", "1_loud", kind, buffer_ms)
    tally.again("42", "1_loud")
    tally.unanswered("7", "1_lost")

    assert tally.total() == Sent(plays=3, views=1, buffer_ms=1500, again=1, unanswered=1)
    assert list(tally.lines()) == [
        " partner entry            plays    views   buffer s  again no 200",
        "      42 1_loud               2        1      1.500      1      0",
        "      42 1_quiet              1        0      0.000      0      0",
        "       7 1_lost               0        0      0.000      0      1",
        "         all                  3        1      1.500      1      1",
    ]
