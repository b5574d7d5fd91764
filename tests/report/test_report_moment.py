"""Instants of a query, and days and hours of time zones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import moment
from pipeline.report.problem import Refused

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_795_424_461  # 2026-11-23 09:01:01 UTC
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]
instants = st.integers(min_value=1_400_000_000, max_value=1_900_000_000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1795424461", NOW),
        ("now", NOW),
        ("now-90s", NOW - 90),
        ("now-15m", NOW - 900),
        ("now-1d", NOW - 86_400),
        ("now/h", NOW - 61),
        ("now/d", NOW - 9 * 3600 - 61),
        ("2026-11-23T09:01:01Z", NOW),
        ("2026-11-23T10:01:01+01:00", NOW),
        ("2026-11-23T10:01:01 01:00", NOW),
        ("2026-11-23T09:01:01", NOW),
        ("2026-11-23", NOW - 9 * 3600 - 61),
    ],
)
def test_every_way_to_name_an_instant(text: str, seconds: int) -> None:
    assert moment.parse("from", text, UTC_ZONE).at(NOW, UTC_ZONE) == seconds


def test_an_instant_without_an_offset_is_of_the_time_zone() -> None:
    assert moment.parse("from", "2026-11-23T10:01:01", BERLIN).at(NOW, BERLIN) == NOW
    assert moment.parse("from", "now/d", BERLIN).at(NOW, BERLIN) == NOW - 10 * 3600 - 61


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "now+1h", "now-1y", "-1", "1e9", "12345678901", "2026-13-01", "2026-11-23T25:00", "١٢٣",
     "2026-11-23T10:01:01+25:00", "now-999999w", "0001-01-01", "now-1h\n"],
)  # fmt: skip
def test_what_is_no_instant_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refused) as refused:
        moment.parse("from", text, UTC_ZONE)
    assert (refused.value.problem.status, refused.value.problem.more["parameter"]) == (400, "from")


@pytest.mark.parametrize("name", ["", "Mars/Base", "../../etc/passwd", "/etc/localtime", "Europe", "UTC\0", "a/b/c/d"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        moment.zone("tz", name)


@given(instants, st.sampled_from(ZONES))
def test_a_day_begins_at_its_first_instant(seconds: int, name: str) -> None:
    tz = ZoneInfo(name)
    number = moment.day_number(seconds, tz)
    start = moment.day_start(number, tz)
    local = datetime.fromtimestamp(seconds, UTC).astimezone(tz)
    assert number == (local.date() - datetime(1970, 1, 1).date()).days
    assert start <= seconds
    assert moment.day_number(start, tz) == number
    assert moment.day_number(start - 1, tz) == number - 1


@given(instants, st.integers(min_value=1, max_value=500 * 86_400), st.sampled_from(ZONES))
def test_offsets_are_those_of_the_zone_at_every_instant(since: int, length: int, name: str) -> None:
    tz = ZoneInfo(name)
    runs = moment.offsets(since, since + length, tz)
    for probe in {since, since + length - 1, *(at for at, _ in runs), *(at - 1 for at, _ in runs if at > since)}:
        ahead = [offset for at, offset in runs if at <= probe][-1]
        assert ahead == moment.offset_at(probe, tz)
