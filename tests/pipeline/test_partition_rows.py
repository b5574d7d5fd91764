"""One owner's rows of one partition: late and expired, bounded, and what is kept out of them."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterator

import orjson
import pytest

from pipeline.batch import Batch
from pipeline.catalog import SETS, WINDOWS, DimensionSet
from pipeline.rows import Rules
from pipeline.sketch import Sketch
from pipeline.windows import Row, Shape, read_row, row_offset
from tests.pipeline.life import Life, Sent, ledger_of, living, plays_of, records, truth
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


def _expires(log: list[list[Sent]], later_s: int) -> Iterator[tuple[Life, Batch]]:
    """Write the records, then yield the checkpoint of each of a few beacons, as many seconds later."""
    with living(log, now_s=NOON + later_s + 3600) as life:
        life.take()
        life.checkpoint()
        for n in range(5):
            life.log += records([[Sent(session="now", index=n, at=NOON + later_s)]])
            life.take()
            batch = life.checkpoint()
            assert batch is not None
            yield life, batch


def _by_window(batch: Batch) -> Counter[str]:
    return Counter(orjson.loads(key)["window"] for key in batch.expired)


def test_a_retention_backlog_is_worked_off_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rows.MOST_EXPIRED", 15)
    log = [[Sent(index=n, entry=f"e{n}") for n in range(39)]]
    left = []
    for life, _ in _expires(log, 7 * 3600):
        left.append(sum(row[:2] == ("10s", NOON) for row in life.table()))
    assert left == [25, 10, 0, 0, 0]


def test_each_window_has_its_share_of_what_expires_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rows.MOST_EXPIRED", 15)
    log = [[Sent(index=n, entry=f"e{n}") for n in range(19)]]
    found = [_by_window(batch) for _, batch in _expires(log, 500 * 86_400)]
    assert found[:4] == [{"10s": 5, "1m": 5, "1h": 5}] * 4
    assert found[4] == {}


def test_rows_expire_twice_as_fast_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    #  a beacon later: 6 rows are written, in partner and entry of three windows
    monkeypatch.setattr("pipeline.rows.MOST_EXPIRED", 1)
    log = [[Sent(index=n, entry=f"e{n}") for n in range(39)]]
    assert [len(batch.expired) for _, batch in _expires(log, 7 * 3600)] == [12, 12, 12, 4, 0]


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


def sketches(life: Life) -> dict[tuple[str, int], int]:
    """Return by window and start how many sessions the partner's sketch has seen."""
    found = {}
    for key, value in life.store.all_rows():
        words = orjson.loads(key)
        if words["set"] == "partner":
            text = read_row((0, 0, 0, ()), key, value).sketches.get("sketch.sessions")
            if text is not None:
                found[words["window"], words["start"]] = Sketch(b64decode(text)).count()
    return found


def test_a_row_that_counted_sessions_before_its_set_had_sketches_never_gets_half_a_one() -> None:
    #  without sketches: s1, s2 | with: s3 in the same minute, s5 in another one, and s4 in the next hour
    bare = Shape.of(WINDOWS, (DimensionSet("partner", ("partnerId",)),))
    hour = int(NOON) // 3600 * 3600
    late = int(NOON) // 60 * 60 + 120
    log = [[Sent("s1")], [Sent("s2")], [Sent("s3")], [Sent("s4", at=hour + 3600)], [Sent("s5", at=late)]]
    with living(log, rules=Rules(bare), now_s=NOON + 4000) as life:
        life.take(2)
        life.checkpoint()
        life.close()
        life.rules = Rules(Shape.of(WINDOWS, SETS[:1]))
        life.finish()
        assert sketches(life) == {("1m", late): 1, ("1m", hour + 3600): 1, ("1h", hour + 3600): 1}


def test_a_row_whose_set_kept_no_sketches_for_a_while_has_none_any_more() -> None:
    #  with sketches: s1 | without: s2 | with again: s3, all in one minute
    bare = Rules(Shape.of(WINDOWS, (DimensionSet("partner", ("partnerId",)),)))
    kept = Rules(Shape.of(WINDOWS, SETS[:1]))
    with living([[Sent("s1")], [Sent("s2")], [Sent("s3")]], rules=kept, now_s=NOON) as life:
        for rules, left in ((kept, [1, 1]), (bare, []), (kept, [])):
            life.close()
            life.rules = rules
            life.take(1)
            life.checkpoint()
            assert [*sketches(life).values()] == left


def test_more_entries_than_the_bound_share_one_sketch_too() -> None:
    rules = Rules(Shape.of(WINDOWS, SETS[:2]), max_entries=1)
    log = [[Sent(f"s{n}", entry=f"e{n}") for n in range(4)], [Sent("s3", index=2, entry="e9")]]
    with living(log, rules=rules) as life:
        life.take(1)
        life.checkpoint()
        life.finish()
        rows = {orjson.loads(key).get("entryId"): value for key, value in life.kafka.rows().items() if b'"1h"' in key}
        counted = {entry: Sketch(b64decode(str(row["sketch.sessions"]))).count() for entry, row in rows.items()}
        assert counted == {None: 4, "e0": 1, "(other)": 3}


def test_a_row_is_read_as_it_was_written_its_sketches_too() -> None:
    for sketches in ({}, {"sketch.sessions": "AQ==", "sketch.users": "AQAAAAA="}):
        row = Row((0, 0, 0, ()), b"key", {"plays": 3}, 7, sketches)
        assert read_row(row.id, row.key, row.value()) == row
        assert row_offset(row.value()) == 7
