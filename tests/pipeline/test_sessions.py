"""Distinct sessions, audience, peaks and watched time: against brute force over the same events."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch import SESSION_BYTES_PER_RECORD
from pipeline.catalog import METRICS, SETS, WINDOWS, Adds, DimensionSet, EventType, Window
from pipeline.event import MAX_ENTRY_BYTES, Event
from pipeline.firsts import Firsts
from pipeline.looks import MOST_SLOTS, Making, Variant
from pipeline.sessions import MOST_SEGMENTS_IN_ALL, MOST_VARIANTS, Segment, Session, SessionFold, grown
from pipeline.windows import PEAK, RowId, Shape, roll_up
from tests.examples import some

SHAPE = Shape.of(WINDOWS, (*SETS[:3], DimensionSet("type", ("partnerId", "deliveryType"), peaks=True)))
START_S = 1_800_000_000
VIEW, PLAY = int(EventType.VIEW), int(EventType.PLAY)


def event(session: int, at_s: int, kind: int = VIEW, entry: str = "e", playback: str = "vod", **more: int) -> Event:
    values = ('"7"', f'"{entry}"', f'"{playback}"', '"hls"')
    return Event(
        (START_S + at_s) * 1000, "7", f'"{entry}"', values, kind, b"", {}, (), bytes([session]) * 8,
        more.get("index", 1), more.get("started", -1), more.get("played", -1),
    )  # fmt: skip


def fold_all(events: list[Event]) -> dict[RowId, dict[str, int]]:
    """Fold in this order, each session encoded and decoded between any two events."""
    fold = SessionFold(SHAPE, METRICS)
    kept: dict[bytes, bytes] = {}
    cells: dict[tuple[int, tuple[str, ...]], dict[str, int]] = {}
    firsts = Firsts(len(SHAPE.windows))
    for one in events:
        session = Session.decoded(kept[one.session], fold.making) if one.session in kept else Session()
        fold.fold(session, one, cells, firsts)
        kept[one.session] = session.encoded(fold.making)
    added = roll_up(cells, SHAPE)
    firsts.roll_up(added, SHAPE)
    return {row: rest for row, counts in added.items() if (rest := {k: v for k, v in counts.items() if v})}


def brute_force(events: list[Event]) -> dict[RowId, dict[str, int]]:
    """The sets themselves, per row."""
    seen: dict[tuple[RowId, str], set[bytes]] = defaultdict(set)
    for one in events:
        seconds = one.time // 1000
        for index, window in enumerate(SHAPE.windows):
            for number, kept in enumerate(SHAPE.sets):
                row = (index, number, seconds - seconds % window.seconds, kept.project(one.values))
                seen[row, "sessions"].add(one.session)
                if one.type == VIEW:
                    seen[row, "audience"].add(one.session)
                    if window.seconds == 3600:
                        seen[row, f"{PEAK}{seconds % 3600 // 10}"].add(one.session)
    rows: dict[RowId, dict[str, int]] = defaultdict(dict)
    for (row, name), sessions in seen.items():
        rows[row][name] = len(sessions)
    return dict(rows)


EVENTS = st.lists(
    st.builds(
        event,
        st.integers(0, 3),
        st.integers(0, 8000),
        st.sampled_from([VIEW, VIEW, PLAY]),
        st.sampled_from(["e", "f"]),
        st.sampled_from(["vod", "live"]),
    ),
    max_size=40,
)


@given(EVENTS)
def test_sessions_audience_and_peaks_equal_the_sets_of_sessions_in_every_row_whatever_the_order(
    events: list[Event],
) -> None:
    assert fold_all(events) == brute_force(events)


@given(EVENTS, st.randoms())
def test_the_order_of_events_changes_no_row(events: list[Event], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold_all(shuffled) == fold_all(events)


#   now                          2 days ahead                              a year ahead
#   |--- events and more --------|--- a clock that is ahead, and more -----|--- another ---|
FAR = st.sampled_from([0, 0, 0, 2 * 86_400, 365 * 86_400])


@given(st.lists(st.tuples(EVENTS.filter(len).map(lambda some: some[0]), FAR), max_size=40))
def test_a_clock_far_ahead_makes_no_session_count_twice_in_any_row(events: list[tuple[Event, int]]) -> None:
    for one, ahead_s in events:
        one.time += ahead_s * 1000
    assert fold_all([one for one, _ in events]) == brute_force([one for one, _ in events])


def test_the_days_of_one_look_are_few_and_the_latest_are_kept() -> None:
    fold, session = SessionFold(SHAPE, METRICS), Session()
    for day in (0, 9, 2, 4, 6):
        fold.fold(session, event(0, day * 86_400), {}, Firsts(len(SHAPE.windows)))
    slot, looks = START_S // 10, [look.base for look in session.variants]
    assert looks == [slot + day * MOST_SLOTS for day in (2, 4, 6)]


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=30), st.integers(0, 20_000))
def test_a_variant_knows_the_slots_of_the_day_around_its_latest(slots: list[int], asked: int) -> None:
    variant = Variant(b"", slots[0], [0])
    for slot in slots:
        variant.mark(0, slot)
    assert all(variant.has(0, slot, 1) for slot in slots if max(slots) - slot < 8640)
    assert variant.has(0, asked, 1) <= (asked in slots)


# One viewer:      play ........ pause 10 s ... on ..... pause 40 s (index restarts) ... on
#   started            100 100        115                    160           160
#   eventIndex          4    6          9                      1             4
#   playTimeSum         0   11         21                                   10
def test_watched_time_goes_on_over_a_short_pause_and_begins_again_after_a_long_one() -> None:
    session = Session()
    told = [(100, 4, 0), (100, 6, 11_000), (115, 9, 21_000), (160, 4, 10_000), (160, 5, 20_000)]
    grew = [grown(session, event(0, 0, started=s, index=i, played=p)) for s, i, p in told]
    assert grew == [0, 11_000, 10_000, 10_000, 10_000]


RUNS = st.lists(st.lists(st.integers(0, 30_000), min_size=1, max_size=5), min_size=1, max_size=4)


@settings(max_examples=some(200))
@given(RUNS, st.randoms())
def test_watched_time_is_the_sum_of_each_segments_largest_whatever_the_order(
    runs: list[list[int]], random: object
) -> None:
    events = [
        event(0, 0, started=100 + 50 * number + step, index=1 + step, played=played)
        for number, run in enumerate(runs)
        for step, played in enumerate(sorted(run))
    ]
    # The first of each segment comes first: order inside and between segments is free after that.
    firsts = [one for one in events if one.index == 1]
    rest = [one for one in events if one.index != 1]
    random.shuffle(rest)  # type: ignore[attr-defined]
    session = Session()
    assert sum(grown(session, one) for one in firsts + rest) == sum(max(run) for run in runs)


def test_totals_over_sets_say_a_session_once() -> None:
    rows = fold_all([event(0, 1, entry="e"), event(0, 2, entry="f"), event(0, 3, playback="live")])
    partner = {counts["sessions"] for row, counts in rows.items() if row[1] == 0}
    assert partner == {1}
    assert Counter(row[1] for row in rows if row[0] == 0) == Counter({0: 1, 1: 2, 2: 2, 3: 1})


# Whom rows of minutes and hours have seen: sessions and, where a set has the dimension, users.
KNOWN = Shape.of(WINDOWS, (*SETS[:2], DimensionSet("user", ("partnerId", "user"), sketches=("1h",))))


def known(session: int, at_s: int, kind: int, entry: str, user: str) -> Event:
    one = event(session, at_s, kind, entry)
    one.values = ('"7"', f'"{entry}"', f'"{user}"')
    return one


KNOWN_EVENTS = st.lists(
    st.builds(
        known,
        st.integers(0, 3),
        st.integers(0, 8000),
        st.sampled_from([VIEW, PLAY]),
        st.sampled_from(["e", "f"]),
        st.sampled_from(["", "ann", "bob"]),
    ),
    max_size=40,
)


def seen(events: list[Event], ends: list[int]) -> dict[RowId, dict[str, set[int]]]:
    """Fold, with a checkpoint after each of these numbers of events; return all that went into sketches."""
    fold, kept, rows = SessionFold(KNOWN, METRICS), defaultdict[bytes, Session](Session), {}
    for part in (events[a:b] for a, b in pairwise([0, *sorted(ends), len(events)])):
        firsts = Firsts(len(KNOWN.windows))
        for one in part:
            fold.fold(kept[one.session], one, {}, firsts)
        for row, hashes in firsts.sketched(KNOWN).items():
            for name, seen in hashes.items():
                rows.setdefault(row, {}).setdefault(name, set()).update(seen)
    return rows


@given(KNOWN_EVENTS, st.lists(st.integers(0, 40), max_size=3))
def test_a_sketch_sees_every_session_and_user_of_its_window_and_the_anonymous_as_sessions(
    events: list[Event], ends: list[int]
) -> None:
    wanted: dict[RowId, tuple[set[object], set[object]]] = defaultdict(lambda: (set(), set()))
    for one in events:
        minute, hour = (one.time // 1000 // size * size for size in (60, 3600))
        # Partner, entry, and user, who is sketched by the hour.
        for index, number, start in ((1, 0, minute), (1, 1, minute), (2, 0, hour), (2, 1, hour), (2, 2, hour)):
            sessions, users = wanted[index, number, start, KNOWN.sets[number].project(one.values)]
            sessions.add(one.session)
            users.add(one.session if one.values[2] == '""' else one.values[2])
    found = seen(events, ends)
    assert {row: (len(names["sessions"]), len(names["users"])) for row, names in found.items()} == {
        row: (len(sessions), len(users)) for row, (sessions, users) in wanted.items()
    }
    assert found == seen(events[::-1], [])


def test_equal_names_at_two_partners_are_two_users() -> None:
    other = known(1, 5, PLAY, "e", "ann")
    other.partner, other.values = "8", ('"8"', *other.values[1:])
    found = seen([known(0, 5, PLAY, "e", "ann"), other], [])
    assert len({one for names in found.values() for one in names["users"]}) == 2


def test_no_set_with_sketches_no_work_for_them() -> None:
    bare = Shape.of(WINDOWS, (DimensionSet("partner", ("partnerId",)), SETS[2]))
    firsts = Firsts(len(WINDOWS))
    SessionFold(bare, METRICS).fold(Session(), event(0, 1), {}, firsts)
    assert (bare.sketched, firsts.sketched(bare), firsts._seen) == (frozenset(), {}, {})


@pytest.mark.parametrize(("windows", "kept"), [(WINDOWS, True), (WINDOWS[1:], False)])
def test_peaks_are_kept_where_ten_seconds_are(windows: tuple[Window, ...], kept: bool) -> None:
    shape, firsts, added = Shape.of(windows, SETS[:1]), Firsts(len(windows)), {}
    SessionFold(shape, METRICS).fold(Session(), event(0, 1), {}, firsts)
    firsts.roll_up(added, shape)
    assert any(name.startswith(PEAK) for counts in added.values() for name in counts) is kept


def test_who_opens_a_new_entry_with_every_beacon_is_kept_within_bounds_and_the_entry_in_play_is_not_forgotten() -> None:
    session = Session()
    grown(session, event(0, 0, entry="film", started=100, index=1, played=1_000))
    for number in range(2_000):
        grown(session, event(0, 0, entry=f"other-{number}", started=100, index=2 + number, played=1))
        assert grown(session, event(0, 0, entry="film", started=100, index=9_000 + number, played=2_000 + number)) == (
            1_000 if number == 0 else 1
        )
    assert sum(map(len, session.segments.values())) == MOST_SEGMENTS_IN_ALL
    assert list(session.segments)[-2:] == ['"other-1999"', '"film"']


def test_the_largest_state_of_a_session_fits_into_a_record_that_is_nearly_full() -> None:
    metrics = sum(metric.adds is Adds.SESSION for metric in METRICS)
    late = 2**62
    session = Session(
        late,
        [Variant(bytes(4 * 60), late, [1 << MOST_SLOTS - 1] * metrics) for _ in range(MOST_VARIANTS)],
        # A byte that is no UTF-8 is four characters, and the backslash one more in JSON.
        {
            f"{number:04d}" + "\\\\xff" * MAX_ENTRY_BYTES: [Segment((late, late), (late, late), late)]
            for number in range(MOST_SEGMENTS_IN_ALL)
        },
    )
    making = Making(SHAPE, [metric.name for metric in METRICS if metric.adds is Adds.SESSION])
    assert Session.decoded(session.encoded(making), making) == session
    assert SESSION_BYTES_PER_RECORD + len(session.encoded(making)) < 1_000_000
