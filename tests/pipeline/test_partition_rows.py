"""One owner's rows of one partition: late and expired, bounded, and what is kept out of them."""

from __future__ import annotations

import pytest

from tests.pipeline.life import Life, Sent, ledger_of, living, plays_of, records, ruled, truth
from tests.pipeline.lines import NOON, play

# -- fold


def test_a_late_event_goes_to_the_row_of_its_receive_time_even_after_a_checkpoint() -> None:
    log = [[Sent(index=1)], [Sent(index=2, at=NOON + 50)], [Sent(index=3, at=NOON + 1)]]
    with living(log) as life:
        life.take(2)
        life.checkpoint()
        assert life.finish() == truth(log)
        assert plays_of(life) == {NOON: 2, NOON + 50: 1}


def test_a_late_event_past_retention_is_left_out_of_that_window_only_and_metered() -> None:
    #  late .. 10s kept 6 h .. now
    log = [[Sent(index=1)], [Sent(index=2, at=NOON - 6 * 3600 - 20)]]
    with living(log) as life:
        life.finish()
        assert plays_of(life) == {NOON: 1}
        assert sum(plays_of(life, "1h").values()) == 2
        assert ledger_of(life)["expired"] == 2


def test_expired_rows_are_tombstoned_and_leave_the_store() -> None:
    #  NOON ... NOON+10 ......... 6 h ......... NOON+10+6h
    #  |-row----|- - - - - - - - kept- - - - - -|
    end = NOON + 10 + 6 * 3600
    log = [[Sent(index=1)], [Sent(index=2, at=end)], [Sent(index=3, at=end + 1)]]
    with living(log, now_s=end + 1) as life:
        life.take(1)
        life.checkpoint()
        life.take(1)
        life.checkpoint()
        assert plays_of(life) == {NOON: 1, end: 1}
        life.take(1)
        life.checkpoint()
        assert plays_of(life) == {end: 2}
        assert life.stored_table() == life.table()


@pytest.mark.parametrize("ahead_s", [3600, 86_400 * 400])
def test_a_worker_clock_that_is_ahead_expires_nothing(ahead_s: int) -> None:
    log = [[Sent(index=n)] for n in range(3)]
    with living(log, now_s=NOON + ahead_s) as life:
        for _ in log:
            life.take(1)
            life.checkpoint()
        assert life.table() == truth(log)


@pytest.mark.parametrize("ahead_s", [3600, 7 * 3600, 86_400 * 2, 86_400 * 10_000])
@pytest.mark.parametrize("checkpoints", [True, False])
def test_an_ingest_clock_that_was_ahead_once_expires_nothing_and_forgets_no_mark(
    ahead_s: int, checkpoints: bool
) -> None:
    #  NOON: 1, 2 .. one beacon of the future .. NOON: 3, 4, then all four again
    now = [[Sent(index=n, at=NOON + n)] for n in range(1, 5)]
    log = [*now[:2], [Sent(index=9, at=NOON + ahead_s)], *now[2:], *now]
    with living(log) as life:
        for _ in log:
            life.take(1)
            if checkpoints:
                life.checkpoint()
        assert life.finish() == truth(log)
        assert ledger_of(life) == {"beacons": 9, "unique": 5, "duplicates": 4}


def test_a_retention_backlog_is_worked_off_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.partition.MOST_EXPIRED", 3)
    log = [[Sent(index=n, entry=f"e{n}") for n in range(6)]]
    with living(log, now_s=NOON + 8 * 3600) as life:
        life.take()
        life.checkpoint()
        left = []
        for n in range(4):
            life.log += records([[Sent(session="now", index=n, at=NOON + 7 * 3600)]])
            life.take()
            life.checkpoint()
            left.append(sum(row[:2] == ("10s", NOON) for row in life.table()))
        assert left == [4, 1, 0, 0]
        assert life.stored_table() == life.table()


# -- entries bounded


def _entries(life: Life, window: str = "10s") -> dict[str | None, int]:
    return {entry: counts["plays"] for (name, _, _, entry), counts in life.table().items() if name == window}


def test_entries_over_the_bound_share_one_row_and_totals_stay_exact() -> None:
    log = [[Sent(index=n, entry=f"e{n % 5}")] for n in range(10)]
    with living(log, rules=ruled(max_entries=3)) as life:
        life.finish()
        for window in ("10s", "1m", "1h"):
            assert _entries(life, window) == {None: 10, "e0": 2, "e1": 2, "e2": 2, "(other)": 4}


def test_the_bound_holds_over_checkpoints_and_crashes() -> None:
    log = [[Sent(index=n, entry=f"e{n % 5}")] for n in range(10)]
    with living(log, rules=ruled(max_entries=3, cache_rows=0)) as life:
        for n in range(10):
            life.take(1)
            life.checkpoint()
            if n % 3 == 2:
                life.crash(wiped=n == 5)
        assert _entries(life) == {None: 10, "e0": 2, "e1": 2, "e2": 2, "(other)": 4}


def test_the_bound_is_each_partners_and_each_windows_own() -> None:
    log = [
        [Sent(index=n, entry=f"e{n}", partner=partner, at=at)]
        for n in range(3)
        for partner in ("1", "2")
        for at in (NOON, NOON + 10)
    ]
    with living(log, rules=ruled(max_entries=3)) as life:
        assert life.finish() == truth(log)


def test_an_entry_named_like_the_row_of_all_others_is_counted_there() -> None:
    log = [[Sent(index=n, entry=entry)] for n, entry in enumerate(("(other)", "a", "b", "(other)"))]
    with living(log, rules=ruled(max_entries=1)) as life:
        life.finish()
        assert _entries(life) == {None: 4, "a": 1, "(other)": 3}


# -- dead letters


def test_a_line_that_cannot_be_understood_becomes_a_dead_letter_with_its_place_and_its_neighbours_count() -> None:
    bad = play(2, partner="0")
    with living() as life:
        life.number = 0
        life.log = [play(1), b"\n".join([play(3), bad, b"\xff\x00", play(4)])]
        life.take()
        life.checkpoint()
        assert plays_of(life) == {NOON: 3}
        assert life.kafka.letters() == [
            {"reason": "bad_partner", "partition": 0, "offset": 1, "line": 1, "raw": bad.decode()},
            {"reason": "unreadable_line", "partition": 0, "offset": 1, "line": 2, "raw64": "/wA="},
        ]
        assert ledger_of(life) == {
            "beacons": 5,
            "unique": 3,
            "rejected": 2,
            "rejected.bad_partner": 1,
            "rejected.unreadable_line": 1,
        }


def test_a_line_that_this_version_trips_over_is_a_dead_letter_and_its_neighbours_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipeline.event import Event, EventReader

    read = EventReader.read

    def stumble(self: EventReader, raw: bytes) -> Event:
        if b"eventIndex=2" in raw:
            raise ZeroDivisionError
        return read(self, raw)

    monkeypatch.setattr(EventReader, "read", stumble)
    with living([[Sent(index=n) for n in (1, 2, 3)]]) as life:
        life.finish()
        assert plays_of(life) == {NOON: 2}
        assert [letter["reason"] for letter in life.kafka.letters()] == ["fault"]


def test_unknown_types_are_kept_out_of_rows_and_known_as_seen() -> None:
    with living([[Sent(kind=4_711)], [Sent(kind=4_711)], [Sent(kind=21)]]) as life:
        life.finish()
        assert not any(life.table().values())
        assert ledger_of(life) == {"beacons": 3, "unknownTypes": 1, "duplicates": 1, "unique": 1}


def test_a_number_that_is_none_is_metered_by_name_once_an_event() -> None:
    with living() as life:
        life.log = [play(1, kind=99, buffer="NaN"), play(1, kind=99, buffer="NaN"), play(2, kind=99, buffer="-1")]
        life.take()
        life.checkpoint()
        assert ledger_of(life) == {"beacons": 3, "unique": 2, "duplicates": 1, "badValues.bufferTime": 2}
