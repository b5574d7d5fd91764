"""The beacons behind a number: told from repeats as the worker does it, added up, and shown without viewers."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.catalog import METRICS, SETS, WINDOWS, Adds
from pipeline.commands.recount import Range, Recount
from pipeline.enrich.beacons_own import BeaconsOwn
from pipeline.report.behind import SHOWN_PARAMETERS, Behind, Told, may_name
from pipeline.report.cell import EXPLAINED_DIMENSIONS, EXPLAINED_WORDS, Cell, parse_cell
from pipeline.report.words import METRIC, WINDOW
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.examples import some

T = 1_795_424_400
TOLD = Told(by_pair=False, horizon_s=86_400)
AGENTS = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    b"curl/8",
    b"",
)
CELL = Cell("7", "x", WINDOW["1m"], T, "plays")


def line(time: float, kind: int = 3, number: int = 0, agent: bytes = b"agent", **said: Any) -> bytes:
    """Return a beacon line received so many seconds after T."""
    given = {"partnerId": "7", "entryId": "x", "sessionId": "s", "eventIndex": "1"} | said
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in given.items())
    query = f"service=analytics&action=trackEvent&eventType={kind}&{query}"
    at = round((T + time) * 1000)
    beacon = Beacon(f"id{number}", at, "203.0.113.0", "GET", b"/x", query.encode(), agent, b"http://page/")
    return encode(beacon)


def behind(*records: bytes, cell: Cell = CELL, told: Told = TOLD) -> Behind:
    found = Behind(cell, told, BeaconsOwn())
    for offset, value in enumerate(records):
        found.take(0, offset, T * 1000 + offset, value)
    return found


def test_a_repeat_is_passed_over_and_counted_beside_its_first_sighting() -> None:
    found = behind(line(1), line(2, number=1), line(3, number=2, sessionId="t"), line(300, number=3))
    assert (found.sums, found.beacons, found.repeats) == ({"plays": 2}, 2, 2)
    assert [one["repeats"] for one in found.shown(inside=False)] == [2, 0]


def test_a_beacon_first_seen_before_the_window_is_not_of_it() -> None:
    found = behind(line(-5), line(1, number=1))
    assert (found.beacons, found.repeats) == (0, 0)


def test_a_repeat_behind_the_horizon_is_a_beacon_of_its_own() -> None:
    found = behind(line(-100), line(1), told=Told(by_pair=False, horizon_s=60))
    assert found.beacons == 1


def test_the_bare_pair_takes_beacons_of_other_entries_and_types_for_repeats() -> None:
    records = line(1, entryId="y"), line(2), line(3, 99, sessionId="t"), line(4, sessionId="t")
    assert behind(*records).beacons == 2
    assert behind(*records, told=Told(by_pair=True, horizon_s=60)).beacons == 0


def test_windows_entries_and_partners_are_kept_apart() -> None:
    records = [line(59.999), line(60, eventIndex=2), line(-0.001, eventIndex=3)]
    records += [line(1, entryId="y", eventIndex=4), line(1, partnerId="77", eventIndex=5)]
    records += [line(1, partnerId="007", eventIndex=6)]
    assert [one["parameters"]["eventIndex"] for one in behind(*records).shown(inside=False)] == ["6", "1"]
    partners = behind(*records, cell=replace(CELL, entry=None))
    assert {one["parameters"]["eventIndex"] for one in partners.shown(inside=False)} == {"6", "1", "4"}


def test_a_late_beacon_says_how_long_it_waited() -> None:
    found = Behind(CELL, TOLD)
    found.take(3, 9, (T + 500) * 1000, line(20, 99) + b"\n" + line(20))
    [shown] = found.shown(inside=True)
    assert (shown["waited"], shown["partition"], shown["offset"], shown["line"]) == (480.0, 3, 9, 1)
    assert not {"partition", "offset", "line"} & found.shown(inside=False)[0].keys()


def test_nothing_that_names_a_viewer_is_shown() -> None:
    secret = {"ks": "KS-SECRET", "userId": "USER-SECRET", "referrer": "http://PAGE-SECRET/", "sessionId": "SID-SECRET"}
    found = behind(line(1, **secret, customVar1="a" * 200, position="3.5", clientVer="v%2F1"))
    [shown] = found.shown(inside=True)
    said = repr(shown)
    for name in ("SECRET", "203.0.113", "agent", "http"):
        assert name not in said
    assert len(shown["session"]) == 16
    assert shown["parameters"] == {
        "eventIndex": "1", "position": "3.5", "customVar1": "a" * 128, "clientVer": "v%2F1",
    }  # fmt: skip
    assert not {"ks", "userId", "referrer", "sessionId", "kalsig"} & set(SHOWN_PARAMETERS)


def test_the_first_received_are_shown_and_all_are_added_up() -> None:
    records = [line(n / 100, eventIndex=n, number=n) for n in range(1000)]
    random.Random(4).shuffle(records)
    found = behind(*records, cell=replace(CELL, limit=7))
    assert found.sums["plays"] == 1000
    assert [one["parameters"]["eventIndex"] for one in found.shown(inside=False)] == [str(n) for n in range(7)]


def test_what_cannot_be_read_is_passed_over() -> None:
    found = behind(b"partner 7 nonsense", b"", line(1, partnerId="x7"), line(1), b"\n" * 70_000)
    assert (found.beacons, found.outcomes["rejected"]) == (1, 2)


def test_of_a_ratio_the_beacons_behind_its_parts_are_shown() -> None:
    records = line(1, 99, bufferTime=0.5), line(2, 99, eventIndex=2), line(3, 3, eventIndex=3)
    found = behind(*records, cell=replace(CELL, metric="bufferingRatio"))
    assert found.sums == {"bufferTime": 500, "views": 2}
    assert [one["adds"] for one in found.shown(inside=False)] == [{"bufferTime": 0.5, "views": 1}, {"views": 1}]


@given(
    partner=st.integers(1, 10**6).map(str),
    spelled=st.data(),
)
def test_no_line_of_a_partner_is_passed_over_unread(partner: str, spelled: st.DataObject) -> None:
    """However the digits are spelled: plain, percent-encoded, in a JSON body as number, text or escapes, in base64."""
    encoded = "".join(spelled.draw(st.sampled_from([digit, f"%{ord(digit):02x}"])) for digit in partner)
    escaped = "".join(spelled.draw(st.sampled_from([digit, f"\\u{ord(digit):04x}"])) for digit in partner)
    end = "&service=analytics&eventType=3&entryId=x&sessionId=s&eventIndex=1"
    ways = [
        Beacon("a", T * 1000, query=f"partnerId={encoded}{end}".encode()),
        Beacon("a", T * 1000, query=f"partnerId=000{encoded}{end}".encode()),
        Beacon("a", T * 1000, query=end.encode(), body=f'{{"partnerId":"{escaped}"}}'.encode()),
        Beacon("a", T * 1000, query=end.encode(), body=f'{{"partnerId":{partner}}}'.encode()),
        Beacon("a", T * 1000, query=f"partnerId={encoded}{end}&x=".encode() + b"\xff\0"),
    ]
    for way in ways:
        assert may_name(partner).search(encode(way))
        found = Behind(replace(CELL, partner=partner), TOLD)
        found.take(0, 0, T * 1000, encode(way))
        assert found.beacons == 1, way


@given(st.integers(0, 10**9))
@settings(max_examples=some(30), deadline=None)
def test_every_metric_adds_up_to_what_an_independent_recount_of_the_same_beacons_says(seed: int) -> None:
    draw = random.Random(seed)
    records = []
    for number in range(draw.randrange(200)):
        kind = draw.choice([1, 2, 3, 3, 98, 99, 99, 99, 11, 4242])
        index = draw.randrange(1, 12)
        said: dict[str, Any] = {"eventIndex": index, "sessionId": f"s{draw.randrange(4)}", "playTimeSum": index * 2}
        said |= {"entryId": draw.choice(["x", "y"]), "bufferTime": draw.choice(["0.25", "", "nan", "3"])}
        said |= {"actualBitrate": draw.choice(["-1", "800"]), "joinTime": "1.5", "sessionStartTime": T}
        said |= {"partnerId": draw.choice(["7", "7", "8"])} | draw.choice([{}, {"errorPosition": "2"}])
        records.append(line(draw.uniform(-30, 90), kind, number, **said))
    rules = Rules(Shape.of(WINDOWS, tuple(one for one in SETS if one.name in ("partner", "entry"))))
    recount = Recount(rules, Range(T - 3600, T + 7200))
    for record in records:
        recount.take(record)
    wanted: Counter[tuple[str, str | None, str]] = Counter()
    names = [window.name for window in rules.shape.windows]
    for (index, _, start, values), counts in recount.rows.items():
        if (names[index], start) == ("1m", T) and values[0] == '"7"':
            entry = values[1].strip('"') if len(values) > 1 else None
            wanted.update({(entry or "", name, ""): count for name, count in counts.items()})
    for metric in METRICS:
        if metric.name in EXPLAINED_WORDS:
            for entry in (None, "x"):
                found = behind(*records, cell=replace(CELL, metric=metric.name, entry=entry))
                assert found.sums[metric.name] == wanted[entry or "", metric.name, ""], metric.name


def drawn(draw: random.Random) -> dict[str, Any]:
    """Return what a beacon says of further dimensions, and its agent."""
    return {
        "agent": draw.choice(AGENTS),
        "playbackType": draw.choice(["live", "vod", ""]),
        "referrer": draw.choice(["http://one.example/a?x=1", "https%3A%2F%2Ftwo.example%2Fb", "no page"]),
        "clientVer": draw.choice(["3.1", "a,b\\c", 'quote"d', "v" * 200]),
    } | draw.choice([{}, {}, {"errorCode": "2001"}, {"errorCode": ""}])


@given(st.integers(0, 10**9))
@settings(max_examples=some(30), deadline=None)
def test_every_cell_of_every_set_adds_up_to_what_an_independent_recount_of_the_same_beacons_says(seed: int) -> None:
    """Repeats come from other devices and pages too: where it counts, its first sighting says."""
    draw = random.Random(seed)
    records = []
    for number in range(draw.randrange(60)):
        said = {"entryId": draw.choice("xy"), "sessionId": f"s{draw.randrange(4)}", "sessionStartTime": T}
        said |= {"eventIndex": draw.randrange(1, 6), "playTimeSum": draw.randrange(9), "bufferTime": "0.25"}
        records.append(line(draw.uniform(-9, 70), draw.choice([3, 98, 99]), number, **said, **drawn(draw)))
    sets = tuple(one for one in SETS if not {"country"} & {*one.dimensions})
    rules = Rules(Shape.of(WINDOWS, sets), METRICS, BeaconsOwn())
    recount = Recount(rules, Range(T - 3600, T + 7200))
    for record in records:
        recount.take(record)
    cells = [row for row in recount.rows if (rules.shape.windows[row[0]].name, row[2]) in (("1m", T), ("1h", T))]
    for index, number, start, values in draw.sample(cells, min(20, len(cells))):
        counts = recount.rows[index, number, start, values]
        named = zip(sets[number].dimensions, map(orjson.loads, values), strict=True)
        asked = {**dict(named), "window": rules.shape.windows[index].name, "start": start}
        for metric in ("plays", "errors", "bufferTime", "sessions", "audience", "watchedTime"):
            cell = parse_cell(urlencode(asked | {"metric": metric}), None, T)
            assert behind(*records, cell=cell).sums[metric] == counts.get(metric, 0), (sets[number].name, metric)


def test_values_that_it_is_not_asked_by_are_added_up() -> None:
    records = [line(n, eventIndex=n, agent=agent) for n, agent in enumerate(AGENTS[:2])]
    asked = f"partnerId=7&window=1m&start={T}&metric=plays&operatingSystem="
    assert behind(*records, cell=parse_cell(asked + "iOS", None, T)).beacons == 1
    assert behind(*records, cell=parse_cell(asked + "Windows", None, T)).beacons == 1
    assert behind(*records, cell=parse_cell(asked + "Linux", None, T)).beacons == 0


def test_who_says_no_error_code_is_in_no_row_of_error_codes() -> None:
    cell = parse_cell(f"partnerId=7&window=1m&start={T}&metric=plays&errorCode=", None, T)
    assert behind(line(1), line(2, eventIndex=2, errorCode="1"), cell=cell).beacons == 0


def test_every_dimension_but_those_of_files_is_explained() -> None:
    assert {"playbackType", "device", "operatingSystem", "browser", "domain", "clientVer"} <= EXPLAINED_DIMENSIONS
    assert not {"country", "region", "city", "network", "user"} & EXPLAINED_DIMENSIONS


def test_all_that_a_single_beacon_adds_to_is_explained() -> None:
    plain = (Adds.ONE, Adds.VALUE, Adds.HAVING, Adds.LACKING)
    assert {one.name for one in METRICS if one.adds in plain} <= set(EXPLAINED_WORDS)
    assert {METRIC[name].adds for name in EXPLAINED_WORDS if name in METRIC} >= {*plain, Adds.SESSION, Adds.WATCHED}


@pytest.mark.parametrize("kind", [3, 4242])
def test_its_event_type_is_named_where_the_catalog_names_it(kind: int) -> None:
    found = behind(line(1, kind), cell=replace(CELL, metric="sessions"))
    assert [(one["eventType"], one["event"]) for one in found.shown(inside=False)] == [
        (kind, "play" if kind == 3 else None)
    ]
