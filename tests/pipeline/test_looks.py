"""Settings that change under a running line: what stays is counted once, what comes counts from then on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import METRICS, SETS, WINDOWS, Adds
from pipeline.firsts import Firsts
from pipeline.looks import MOST_SLOTS, Making, Variant
from pipeline.rows import Rules
from pipeline.sessions import Segment, Session, SessionFold
from pipeline.windows import Shape
from tests.pipeline.life import Life, living
from tests.pipeline.lines import NOON, get_line
from tests.pipeline.test_sessions import PLAY, SHAPE, event

Rows = dict[tuple[str, str, int, str], dict[str, int]]
COUNTED_BY_LOOKS = {metric.name for metric in METRICS if metric.adds is Adds.SESSION}
_METRIC, _WINDOW, _SET = ({one.name: one for one in table} for table in (METRICS, WINDOWS, SETS))


def rules(metrics: str = "sessions audience", sets: str = "partner entry version", windows: str = "10s 1m 1h") -> Rules:
    """Return the rules that count these, and plays and watched time."""
    return Rules(
        Shape.of(tuple(_WINDOW[name] for name in windows.split()), tuple(_SET[name] for name in sets.split())),
        tuple(_METRIC[name] for name in ("plays", *metrics.split(), "watchedTime")),
    )


CHANGES = {
    "a metric comes": (rules("sessions"), rules()),
    "a metric comes before another": (rules("audience"), rules()),
    "a metric goes": (rules(), rules("audience")),
    "the first metrics come": (rules(""), rules()),
    "all metrics go": (rules(), rules("")),
    "one metric for another": (rules("sessions"), rules("audience")),
    "metrics change places": (rules(), rules("audience sessions")),
    "a set comes between": (rules(), rules(sets="partner entry playbackType version")),
    "a set goes": (rules(sets="partner entry playbackType version"), rules()),
    "one set for another": (rules(), rules(sets="partner playbackType version")),
    "sets change places": (rules(), rules(sets="partner version entry")),
    "the finest window goes": (rules(), rules(windows="1m 1h")),
    "a finer window comes": (rules(windows="1m 1h"), rules()),
    "a coarser window comes": (rules(windows="10s 1m"), rules()),
    "one window is left": (rules(), rules(windows="1h")),
    "hours become finer": (rules(windows="1h"), rules()),
    "all at once": (rules("audience", "partner version", "1m"), rules("sessions audience", "partner entry version")),
}

# Two sessions, each of which changes its looks:
#   NOON (09:07)             the settings change somewhere                  11:07
#   |-----10 s apart---------|-------------20 s to minutes apart------------|
_beacon = st.tuples(
    st.sampled_from([0, 3, 10, 20, 60, 600]),
    st.sampled_from(["a", "b"]),
    st.sampled_from([3, 99]),
    st.sampled_from(["e", "f"]),
    st.sampled_from(["vod", "live"]),
    st.sampled_from(["1", "2"]),
)
LOGS = st.lists(_beacon, min_size=2, max_size=24)


def log_of(beacons: list[Any]) -> tuple[list[bytes], list[int]]:
    """Return the records, one a beacon, and when each came."""
    lines, times, at = [], [], NOON
    for number, (later_s, session, kind, entry, playback, version) in enumerate(beacons):
        at += later_s
        query = (
            f"service=analytics&action=trackEvent&eventType={kind}&partnerId=1&entryId={entry}&sessionId={session}"
            f"&eventIndex={number}&playTimeSum={number}&sessionStartTime={NOON}&playbackType={playback}"
            f"&clientVer={version}"
        )
        lines.append(get_line(query, f"i-{number}", at * 1000))
        times.append(at)
    return lines, times


def rows_of(life: Life) -> Rows:
    rows: Rows = {}
    for key, counts in life.kafka.rows().items():
        words = orjson.loads(key)
        of = "/".join(words[name] for name in ("entryId", "playbackType", "clientVer") if name in words)
        rows[words["window"], words["set"], words["start"], of] = counts
    return rows


def counted(rule: Rules) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the names of what it counts, and in which windows of which sets."""
    shape = rule.shape
    kept = {(shape.windows[index].name, one.set.name) for one in shape.sets for index in one.windows}
    return {metric.name for metric in rule.metrics}, kept


def one_life(rule: Rules, lines: list[bytes]) -> Rows:
    with living(rules=rule) as life:
        life.log = lines
        life.finish()
        return rows_of(life)


@pytest.mark.parametrize("change", CHANGES)
@given(beacons=LOGS, data=st.data(), end=st.sampled_from(["closed", "killed", "wiped"]))
def test_what_stays_is_counted_once_and_what_comes_counts_from_then_on(
    change: str, beacons: list[Any], data: Any, end: str
) -> None:
    before, after = CHANGES[change]
    lines, times = log_of(beacons)
    at = data.draw(st.integers(1, len(lines) - 1), label="settings change before")
    with living(rules=before) as life:
        life.log = lines
        life.take(at)
        life.checkpoint()
        life.close() if end == "closed" else life.crash(wiped=end == "wiped")
        life.rules = after
        life.finish()
        assert life.partition.position == len(lines) - 1
        found = rows_of(life)
    whole, from_then_on = one_life(after, lines), one_life(after, lines[at:])
    (old_names, old_kept), (names, kept) = counted(before), counted(after)
    for row, wanted in whole.items():
        for name in names:
            is_kept = name in old_names and row[:2] in old_kept
            if is_kept or row[2] > times[at - 1]:
                assert found.get(row, {}).get(name, 0) == wanted.get(name, 0), (row, name)
            elif before.shape.windows == after.shape.windows and name in COUNTED_BY_LOOKS:
                assert found.get(row, {}).get(name, 0) == from_then_on.get(row, {}).get(name, 0), (row, name)
    assert {row[:2] for row in found} <= kept | old_kept


# A session as it was encoded before states said what made them, by four sets and both metrics: a view of "vod" at
# second 1, a play of "live" at second 25.
UNSTAMPED = bytes.fromhex(
    "93ce6b49d2199293c410ab0e432561837622e7aa53312af6198fce0aba950092c40101c4010193c410ab0e4325618376223720f3062a"
    "f6198fce0aba950292c40101c40081a3226522919564640102cd03e8"
)


def test_a_state_without_a_stamp_is_read_as_one_of_this_line() -> None:
    fold, firsts = SessionFold(SHAPE, METRICS), Firsts(len(SHAPE.windows))
    session = Session.decoded(UNSTAMPED, fold.making)
    assert session.segments == {'"e"': [Segment((100, 100), (1, 2), 1000)]}
    for again in (event(0, 2), event(0, 26, PLAY, playback="live")):
        fold.fold(session, again, {}, firsts)
    assert (len(session.variants), firsts._by_window) == (2, [{}, {}, {}])
    assert Session.decoded(session.encoded(fold.making), fold.making) == session


@pytest.mark.parametrize("shape", [Shape.of(WINDOWS, SETS[:3]), Shape.of(WINDOWS, SETS[:5])])
def test_a_state_without_a_stamp_that_does_not_fit_keeps_all_but_its_looks(shape: Shape) -> None:
    session = Session.decoded(UNSTAMPED, SessionFold(shape, METRICS).making)
    assert (session.time_s, session.variants, len(session.segments)) == (1_800_000_025, [], 1)


def test_the_stamp_is_a_few_bytes() -> None:
    names = [metric.name for metric in METRICS if metric.adds is Adds.SESSION]
    assert len(Making(SHAPE, names).stamp) == 3 + 2 * len(names)


@given(st.sets(st.integers(0, MOST_SLOTS - 1), min_size=1, max_size=40), st.integers(0, 10**8))
def test_a_look_under_another_finest_window_knows_the_windows_that_both_have(slots: set[int], base: int) -> None:
    ten, minute = (Making(Shape.of(windows, SETS[:1]), ["sessions"]) for windows in (WINDOWS, WINDOWS[1:]))
    look = Variant(b"", base, [sum(1 << slot for slot in slots)])
    (coarse,) = minute.looks([look.raw()], ten.stamp)
    minutes = {(base + slot) // 6 for slot in slots}
    assert all(coarse.has(0, one, 1) == (one in minutes) for one in range(min(minutes) - 2, max(minutes) + 3))
    (fine,) = ten.looks([coarse.raw()], minute.stamp)
    reached = [one for one in range(max(minutes) - 1439, max(minutes) + 1) if fine.reaches(one * 6)]
    assert all(fine.has(0, one * 6, 6) == (one in minutes) for one in reached)


def test_a_look_of_a_clock_an_age_ahead_is_asked_for_today_at_no_cost() -> None:
    look = Variant(b"", 2**62, [1])
    assert (look.has(0, 2**62, 360), look.has(0, 180_000_000, 360)) == (True, False)
