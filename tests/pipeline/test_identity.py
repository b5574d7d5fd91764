"""What makes two beacons one event: a test per row of the table in the protocol's section on identity."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.beacon import session_of as session_in_ingest
from ingest.wire import encode
from pipeline.event import NO_SESSION, Event, read_event
from pipeline.identity import identity_of, pair_identity_of, record_identity_of, session_of
from pipeline.parameters import Reason, Rejected
from tests.pipeline.lines import NOON, event_of, recorded, recorded_line

CLIENTS = ("kava 0.15.1", "kava 1.15.2", "kAnalony 2.98", "kAnalony 2016-06")
PAIR = ("sessionId", "eventIndex")
# What the first sighting of a key keeps out, by event type: 3 plays, 99 views.
ROWS: dict[str, tuple[tuple[str, ...] | None, dict[str, int]]] = {
    "sessionId, eventIndex": (PAIR, {"3": 2, "99": 3}),
    "+ entryId": ((*PAIR, "entryId"), {"3": 2, "99": 3}),
    "+ entryId, eventType": ((*PAIR, "entryId", "eventType"), {"3": 2, "99": 2}),
    "+ entryId, eventType, sessionStartTime": ((*PAIR, "entryId", "eventType", "sessionStartTime"), {}),
    "all parameters": (None, {}),
}


def _parameters(request: dict[str, Any]) -> dict[str, str]:
    """Read a recorded request without a line of ours."""
    query = dict(parse_qsl(request["url"].partition("?")[2], keep_blank_values=True))
    if request["body"].startswith("{"):
        return query | {name: str(value) for name, value in json.loads(request["body"]).items()}
    return query | dict(parse_qsl(request["body"], keep_blank_values=True))


def _lost(keys: list[Any], types: list[str]) -> dict[str, int]:
    seen: set[Any] = set()
    lost: Counter[str] = Counter()
    for key, kind in zip(keys, types, strict=True):
        if key in seen:
            lost[kind] += 1
        seen.add(key)
    return {kind: lost[kind] for kind in ("3", "99") if lost[kind]}


def _identities(requests: list[dict[str, Any]], by_pair: bool) -> list[bytes]:
    return [read_event(recorded_line(request, n), by_pair).identity for n, request in enumerate(requests)]


@pytest.mark.parametrize("row", ROWS)
def test_what_each_key_would_lose_of_real_players_plays_and_views(row: str) -> None:
    names, lost = ROWS[row]
    players = [_parameters(request) for request in recorded("kava 0.15.1")]
    keys = [tuple(values.get(name) for name in names) if names else tuple(sorted(values.items())) for values in players]
    assert _lost(keys, [values["eventType"] for values in players]) == lost


@pytest.mark.parametrize(
    ("by_pair", "row"), [(False, "+ entryId, eventType, sessionStartTime"), (True, "sessionId, eventIndex")]
)
def test_the_identity_loses_what_its_row_of_the_table_says(by_pair: bool, row: str) -> None:
    requests = recorded("kava 0.15.1")
    types = [_parameters(request)["eventType"] for request in requests]
    assert _lost(_identities(requests, by_pair), types) == ROWS[row][1]


@pytest.mark.parametrize("client", CLIENTS)
def test_each_true_repeat_of_real_players_is_one_event(client: str) -> None:
    requests = recorded(client)
    assert requests
    for request in requests:
        first, again = _identities([request, request], by_pair=False)
        values = _parameters(request)
        # A page that sets media without the provider sends an empty sessionId for all its viewers.
        assert (first == again) == bool(values.get("eventIndex") and values["sessionId"])


@pytest.mark.parametrize("client", CLIENTS)
def test_no_player_of_any_generation_loses_a_play_or_a_view(client: str) -> None:
    requests = recorded(client)
    types = [_parameters(request)["eventType"] for request in requests]
    assert _lost(_identities(requests, by_pair=False), types) == {}


def _query(**values: str) -> str:
    base = {"eventType": "3", "partnerId": "1", "entryId": "e", "sessionId": "s", "eventIndex": "1"}
    pairs = "&".join(f"{name}={value}" for name, value in (base | values).items())
    return f"service=analytics&action=trackEvent&{pairs}"


@pytest.mark.parametrize("part", ["eventType", "partnerId", "entryId", "sessionId", "eventIndex", "sessionStartTime"])
def test_each_part_of_the_segment_tells_events_apart(part: str) -> None:
    assert event_of(_query()).identity != event_of(_query(**{part: "2"})).identity


@pytest.mark.parametrize(
    ("part", "apart"),
    [
        ("partnerId", True),
        ("sessionId", True),
        ("eventIndex", True),
        ("eventType", False),
        ("entryId", False),
        ("sessionStartTime", False),
    ],
)
def test_the_bare_pair_tells_apart_by_session_and_index_of_a_partner_only(part: str, apart: bool) -> None:
    one, other = event_of(_query(), by_pair=True), event_of(_query(**{part: "2"}), by_pair=True)
    assert (one.identity != other.identity) == apart


@pytest.mark.parametrize("absent", ["", "null", "undefined", "NaN"])
@pytest.mark.parametrize("part", ["sessionId", "eventIndex"])
@pytest.mark.parametrize("by_pair", [False, True])
def test_without_session_or_index_only_a_copy_of_the_record_is_a_repeat(absent: str, part: str, by_pair: bool) -> None:
    query = _query(**{part: absent})
    first, copy, other = (event_of(query, record, by_pair).identity for record in ("i-1", "i-1", "i-2"))
    assert (first == copy, first == other) == (True, False)


# A partner is decimal digits, never empty; the other parts are whatever bytes came.
_part = st.text(st.sampled_from("a0:1\0\udcff\udcfeé"), max_size=4)
_parts = st.tuples(st.sampled_from(["1", "11", "4242"]), _part, _part, _part, _part, _part)


@given(one=_parts, other=_parts)
@example(one=("1", "a\0", "", "", "", ""), other=("1", "a", "\0", "", "", ""))
@example(one=("1", "", "", "", "", "\0"), other=("1", "\0", "", "", "", ""))
@example(one=("1", "\udcff", "", "", "", ""), other=("1", "\udcfe", "", "", "", ""))
def test_two_events_whose_parts_differ_never_share_an_identity(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (identity_of(*one) == identity_of(*other)) == (one == other)


@given(parts=st.lists(_part, min_size=6, max_size=6), cut=st.integers(1, 4))
def test_moving_a_boundary_between_two_parts_is_another_event(parts: list[str], cut: int) -> None:
    moved = list(parts)
    moved[cut], moved[cut + 1] = parts[cut] + parts[cut + 1][:1], parts[cut + 1][1:]
    same = identity_of("7", *parts[1:]) == identity_of("7", *moved[1:])
    assert same == (parts[1:] == moved[1:])


@given(record=st.text(st.sampled_from("a0\0:"), max_size=6), parts=_parts)
def test_a_record_id_is_never_the_identity_of_a_segment(record: str, parts: tuple[str, ...]) -> None:
    assert record_identity_of(record) not in (identity_of(*parts), pair_identity_of(*parts[:3]))


def test_identities_are_16_bytes_and_spread() -> None:
    identities = [identity_of("1", "s", str(index), "e", "3", "") for index in range(1000)]
    assert {len(identity) for identity in identities} == {16}
    assert len({identity[:4] for identity in identities}) == 1000
    assert all(one != other for one, other in pairwise(identities))


# As any JSON may write one, and whole ones that no 64 bits hold.
_number = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.integers(2**63 - 9, 2**65).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
)


def _in_a_body(session: str) -> Beacon:
    body = f'{{"eventType":3,"partnerId":4242,"entryId":"1_x","sessionId":{session},"eventIndex":1}}'
    query = b"service=analytics&action=trackEvent"
    return Beacon("i-1", NOON * 1000, method="POST", path=b"/api_v3/index.php", query=query, body=body.encode())


def _event(session: str) -> Event:
    return read_event(encode(_in_a_body(session)))


@given(number=_number)
@example(number="741138888888888888888803424")
@example(number="1e22")
@example(number="-9223372036854775809")
@example(number="-0")
def test_a_session_that_is_a_number_is_one_to_ingest_and_worker(number: str) -> None:
    event = _event(number)
    assert event.session == session_of("4242", session_in_ingest(_in_a_body(number)).decode())


@pytest.mark.parametrize("depth", [900, 985, 1000, 1015, 5000])
@pytest.mark.parametrize("session", ['"s"', "7", "1e22", "null"])
def test_a_session_beside_deeply_nested_json_is_one_to_ingest_and_worker(depth: int, session: str) -> None:
    nested = f'{session},"x":{"[" * depth}{"]" * depth}'
    beacon = _in_a_body(nested)
    try:
        event = _event(nested)
    except Rejected as rejected:
        assert rejected.reason is Reason.UNREADABLE_BODY
        return
    assert depth < 5000
    found = session_in_ingest(beacon).decode()
    assert event.session == (NO_SESSION if session == "null" else session_of("4242", found))


@given(one=st.integers(-(2**90), 2**90), further=st.integers(1, 2**20))
@example(one=2**64, further=1)
@example(one=-(2**63) - 2, further=1)
def test_two_whole_numbers_are_two_sessions_however_long(one: int, further: int) -> None:
    assert _event(str(one)).identity != _event(str(one + further)).identity
    # And the same as in a query, or in quotes.
    assert _event(str(one)).session == _event(f'"{one}"').session
