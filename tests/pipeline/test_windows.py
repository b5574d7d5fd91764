"""Fold and roll up: where a window begins and ends, and that every level and set adds up to the same."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.catalog import SETS, WINDOWS, Window
from pipeline.event import Event
from pipeline.windows import (
    Cells,
    Counts,
    Row,
    RowId,
    Shape,
    checksum_of,
    fold,
    is_expired,
    merge,
    read_row,
    roll_up,
    row_id_of,
    row_key,
    row_offset,
)
from tests.pipeline.lines import NOON, changed_entry, event_of, play

# Partner and entry: what a row of any other set adds, a row of these does too.
TWO = SETS[:2]
SHAPE = Shape.of(WINDOWS, TWO)
PARTNER, ENTRY = 0, 1
TEN, MINUTE, HOUR = range(3)


def _event(at: float, partner: str = "1", entry: str = '"e"', **amounts: int) -> Event:
    values = (f'"{partner}"', entry)
    return Event(round(at * 1000), partner, entry, values, 3, b"", amounts or {"plays": 1}, ())


# Window, start, partner, entry as JSON text; "" is the row of the whole partner.
Named = tuple[int, int, str, str]


def _named(rows: dict[RowId, Counts]) -> dict[Named, Counts]:
    return {
        (index, start, values[0].strip('"'), values[1] if len(values) > 1 else ""): counts
        for (index, _, start, values), counts in rows.items()
    }


def _rows(events: list[Event]) -> dict[Named, Counts]:
    cells: Cells = {}
    for event in events:
        fold(cells, event, WINDOWS[0].seconds)
    return _named(roll_up(cells, SHAPE))


def _starts(events: list[Event], window: int) -> dict[int, int]:
    found = _rows(events).items()
    return {start: counts["plays"] for (index, start, _, entry), counts in found if index == window and not entry}


def test_a_window_begins_with_its_start_and_ends_before_the_next() -> None:
    #  NOON-10        NOON           NOON+10        NOON+20
    #  |-------------|--------------|--------------|
    #            -0.001  0   9.999    10    19.999
    events = [_event(NOON + at) for at in (-0.001, 0, 9.999, 10, 19.999)]
    assert _starts(events, TEN) == {NOON - 10: 1, NOON: 2, NOON + 10: 2}


def test_coarser_windows_begin_where_their_own_size_says() -> None:
    # 09:07:00 is NOON, so the hour began 420 s before.
    #  09:06:59.999 | 09:07:00 ... 09:07:59.999 | 09:08:00 ... 09:59:59.999 | 10:00:00
    hour = NOON - 420
    events = [_event(at) for at in (NOON - 0.001, NOON, NOON + 59.999, NOON + 60, hour + 3599.999, hour + 3600)]
    assert _starts(events, MINUTE) == {
        NOON - 60: 1,
        NOON: 2,
        NOON + 60: 1,
        hour + 3540: 1,
        hour + 3600: 1,
    }
    assert _starts(events, HOUR) == {hour: 5, hour + 3600: 1}


def test_a_late_event_goes_to_the_window_of_its_receive_time() -> None:
    #  NOON-3600              NOON
    #  |-late- - - - - - - - -|-now-
    assert _starts([_event(NOON), _event(NOON - 3600)], TEN) == {NOON - 3600: 1, NOON: 1}


def test_the_order_of_windows_in_a_setting_does_not_matter() -> None:
    assert Shape.of(tuple(reversed(WINDOWS)), TWO) == SHAPE


def test_windows_that_do_not_nest_are_refused() -> None:
    with pytest.raises(ValueError, match="window b is no multiple of window a"):
        Shape.of((Window("a", 10, 1), Window("b", 25, 1)), TWO)


_events = st.lists(
    st.builds(
        _event,
        at=st.integers(0, 9000).map(lambda tenths: NOON + tenths / 2),
        partner=st.sampled_from(["1", "2"]),
        entry=st.sampled_from(['""', '"a"', '"b"', '"(other)"']),
        plays=st.integers(0, 3),
        bufferTime=st.integers(0, 3),
    ),
    max_size=30,
)


def _sum(counts: list[Counts]) -> Counts:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return {name: amount for name, amount in total.items() if amount}


@given(events=_events)
def test_every_window_and_set_adds_up_to_what_the_events_add(events: list[Event]) -> None:
    rows = _rows(events)
    truth = {partner: _sum([event.amounts for event in events if event.partner == partner]) for partner in "12"}
    for window in (TEN, MINUTE, HOUR):
        for is_entry in (False, True):
            by_partner = {
                partner: _sum(
                    [
                        counts
                        for (index, _, of, entry), counts in rows.items()
                        if (index, of, bool(entry)) == (window, partner, is_entry)
                    ]
                )
                for partner in "12"
            }
            assert by_partner == truth


@given(events=_events)
def test_each_row_holds_exactly_the_events_of_its_window_and_dimensions(events: list[Event]) -> None:
    for (index, start, partner, entry), counts in _rows(events).items():
        inside = [
            event.amounts
            for event in events
            if start <= event.time / 1000 < start + WINDOWS[index].seconds
            and event.partner == partner
            and entry in ("", event.entry)
        ]
        assert inside and start % WINDOWS[index].seconds == 0
        assert _sum([counts]) == _sum(inside)


@given(events=_events, cut=st.integers(0, 30))
def test_two_batches_add_up_to_one(events: list[Event], cut: int) -> None:
    whole, parts = _rows(events), {}
    for part in (events[:cut], events[cut:]):
        for row_id, counts in _rows(part).items():
            merge(parts.setdefault(row_id, {}), counts)
    assert {row_id: _sum([counts]) for row_id, counts in parts.items()} == {
        row_id: _sum([counts]) for row_id, counts in whole.items()
    }


def test_folding_changes_no_event_and_no_other_row() -> None:
    shared = {"plays": 1}
    events = [Event(NOON * 1000, "1", '"e"', ('"1"', '"e"'), 3, b"", shared, ()) for _ in range(3)]
    rows = _rows(events)
    assert shared == {"plays": 1}
    rows[TEN, NOON, "1", ""]["plays"] += 100
    assert rows[TEN, NOON, "1", '"e"'] == {"plays": 3}


def test_a_shape_keeps_only_its_sets() -> None:
    cells: Cells = {(NOON, ('"1"', '"e"')): {"plays": 1}}
    only_partner = _named(roll_up(cells, Shape.of(WINDOWS[:1], TWO[:1])))
    only_entry = _named(roll_up(cells, Shape.of(WINDOWS[:1], TWO[1:])))
    assert only_partner == {(TEN, NOON, "1", ""): {"plays": 1}}
    assert only_entry == {(TEN, NOON, "1", '"e"'): {"plays": 1}}


def test_a_row_key_is_these_bytes() -> None:
    assert row_key((TEN, ENTRY, NOON, ('"4242"', '"1_x"')), SHAPE, 3) == (
        b'{"window":"10s","start":1795424820,"set":"entry","partnerId":"4242","entryId":"1_x","partition":3}'
    )
    assert row_key((HOUR, PARTNER, NOON - 420, ('"4242"',)), SHAPE, 0) == (
        b'{"window":"1h","start":1795424400,"set":"partner","partnerId":"4242","partition":0}'
    )


@given(raw=st.binary(max_size=16), window=st.integers(0, 2), partition=st.integers(0, 99))
@example(raw=b'"},"partition":9}', window=0, partition=1)
@example(raw=b"\xff\0\\\n\x7f", window=0, partition=1)
@example(raw=b"", window=0, partition=1)
@example(raw=b"(other)", window=0, partition=1)
def test_a_key_names_its_row_whatever_the_entry_is(raw: bytes, window: int, partition: int) -> None:
    entry = event_of(changed_entry(raw)).entry
    row_id = (window, ENTRY, NOON, ('"4242"', entry))
    key = row_key(row_id, SHAPE, partition)
    assert row_id_of(key, SHAPE) == row_id
    assert json.loads(key) == {
        "window": WINDOWS[window].name,
        "start": NOON,
        "set": "entry",
        "partnerId": "4242",
        "entryId": raw.decode("utf-8", "backslashreplace"),
        "partition": partition,
    }
    assert b"\n" not in key


def test_a_row_of_a_window_that_the_catalog_has_no_more_is_passed_over() -> None:
    assert row_id_of(row_key((TEN, PARTNER, NOON, ('"1"',)), SHAPE, 0), Shape.of(WINDOWS[1:], TWO)) is None


_counts = st.dictionaries(st.sampled_from(["plays", "views", "bufferTime", "entryRows"]), st.integers(0, 10**15))


@given(counts=_counts, offset=st.integers(-1, 2**62))
def test_a_row_reads_back_as_it_was_written(counts: Counts, offset: int) -> None:
    row = Row((TEN, NOON, "1", ""), b"key", counts, offset)
    assert read_row(row.id, row.key, row.value()) == row
    assert row_offset(row.value()) == offset


def test_a_row_is_kept_for_its_whole_retention_and_not_a_second_less() -> None:
    #  start   end                           end + keep
    #  |-------|- - - - - - - - - - - - - - -|
    window = Window("10s", 10, 100)
    assert [is_expired(window, NOON, NOON + 110 + after) for after in (-1, 0, 0.001, 1)] == [False, False, True, True]


def test_a_checksum_sees_a_lost_a_changed_and_a_swapped_row() -> None:
    rows = [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    others = [rows[:2], rows[1:], [rows[1], rows[0], rows[2]], [(b"a", b"1"), (b"b", b"9"), (b"c", b"3")]]
    assert len({checksum_of(batch) for batch in [rows, *others]}) == 5


def test_a_play_of_the_lines_is_one_row_a_window_and_set() -> None:
    from pipeline.event import read_event

    assert _rows([read_event(play(partner="7", entry="x"))]) == {
        (index, start, "7", entry): {"plays": 1}
        for index, start in ((TEN, NOON), (MINUTE, NOON), (HOUR, NOON - 420))
        for entry in ("", '"x"')
    }
