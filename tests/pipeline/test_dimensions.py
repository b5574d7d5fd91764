"""Looked-up dimensions: the same beacon has the same values whatever was looked up before it, and in which order."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import dimensions
from pipeline.catalog import DIMENSIONS, METRICS
from pipeline.dimensions import Dated
from pipeline.event import EventReader
from tests.pipeline.lines import NOON, get_line

USER = [dimension for dimension in DIMENSIONS if dimension.name in ("user", "playbackType")]


class Asked:
    """An Enrichment whose users expire at NOON + their number, and that counts what it is asked."""

    version = 0

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.suffix = ""

    def refresh(self) -> None: ...

    def agent(self, agent: str) -> dict[str, str]:
        return {}

    def referrer(self, referrer: str) -> dict[str, str]:
        return {}

    def address(self, address: str) -> dict[str, str]:
        self.asked.append(address)
        return {"country": address + self.suffix}

    def user(self, partner: str, user_id: str, ks: str) -> Dated:
        self.asked.append(ks)
        return Dated(f"{ks}{self.suffix}", (NOON + int(ks)) * 1000 if ks else 0, user_id)


def reader(enrichment: Asked, dimensions: Any = USER) -> EventReader:
    return EventReader(METRICS, dimensions, enrichment)


def line(ks: str, at_ms: int, user_id: str = "", kind: str = "vod", ip: str = "") -> bytes:
    query = (
        f"service=analytics&action=trackEvent&eventType=3&partnerId=4242&entryId=e&sessionId=s&eventIndex=1"
        f"&playbackType={kind}&ks={quote(ks)}&userId={user_id}"
    )
    return get_line(query, time=NOON * 1000 + at_ms).replace(b'"v":1,', b'"v":1,"address":"%s",' % ip.encode(), 1)


BEACONS = st.tuples(
    st.sampled_from(["", "1", "2"]),
    st.integers(998, 2_002),
    st.sampled_from(["", "ann"]),
    st.sampled_from(["vod", "dvr"]),
)


@given(beacons=st.lists(BEACONS, max_size=12))
def test_a_beacon_has_the_same_user_whatever_came_before_it(beacons: list[tuple[str, int, str, str]]) -> None:
    remembering = reader(Asked())
    for ks, at_ms, user_id, kind in beacons:
        beacon = line(ks, at_ms, user_id, kind)
        is_valid = ks != "" and at_ms < int(ks) * 1000
        assert remembering.read(beacon).values[2:] == (f'"{kind}"', f'"{ks if is_valid else user_id}"')


def test_a_ks_expires_in_the_millisecond_it_names() -> None:
    one = reader(Asked())
    assert [one.read(line("1", at_ms)).values[3] for at_ms in (1_000, 999, 1_000)] == ['""', '"1"', '""']


def test_one_sessions_beacons_are_looked_up_once_before_and_after_the_end() -> None:
    asked = Asked()
    one = reader(asked)
    for at_ms in (0, 500, 1_000, 5_000, 999):
        one.read(line("1", at_ms))
    assert asked.asked == ["1"]


def test_parameters_of_users_are_read_only_where_a_set_asks_for_users() -> None:
    asked = Asked()
    one = reader(asked, [dimension for dimension in DIMENSIONS if dimension.name == "playbackType"])
    assert one.read(line("no number", 0, "ann")).values[2:] == ('"vod"',)
    assert asked.asked == []
    assert not {"ks", "userId"} & set(one._finder.names)


@pytest.mark.parametrize("name", ["user", "country"])
def test_answers_of_other_files_are_forgotten_when_told_to_look(name: str) -> None:
    asked = Asked()
    one = reader(asked, [dimension for dimension in DIMENSIONS if dimension.name == name])
    beacon = line("9", 0, ip="7")
    before = one.read(beacon).values[2]
    asked.suffix = " new"
    one.refresh()
    assert one.read(beacon).values[2] == before
    asked.version = 1
    one.refresh()
    assert one.read(beacon).values[2] == before[:-1] + ' new"'
    assert len(asked.asked) == 2


@pytest.mark.parametrize("name", ["user", "country"])
def test_long_texts_sent_on_purpose_take_no_more_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimensions, "MAX_CHARACTERS", 10_000)
    one = reader(Asked(), [dimension for dimension in DIMENSIONS if dimension.name == name])
    kept = one._dimensions
    held: list[int] = []
    for number in range(200):
        text = f"{number + 1:0900}"
        assert one.read(line(text, 0, ip=text)).values[2] == f'"{text[:128]}"'
        held.append(sum(len(text) for asked in (*kept._known, *kept._dated) for text in asked))
    assert 9_000 < max(held) <= 10_000
