"""From a line's bytes to an event: forms of one request, bounds, and bytes that nobody should send."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.event import Event, read_event
from pipeline.parameters import Reason, Rejected
from tests.pipeline.lines import NOON, event_of, get_line, play
from tests.pipeline.meanings import FORM, INDEX_PHP, JSON, changed


def _quoted(raw: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in raw)


def _rejected(raw: bytes) -> str:
    with pytest.raises(Rejected) as refused:
        read_event(raw)
    return refused.value.reason.value


def test_an_event_holds_what_the_line_says() -> None:
    line = get_line(changed(eventType="99", bufferTime="0.25", sessionId="a%3Ab"), time=NOON * 1000 + 7)
    event = read_event(line)
    assert (
        Event(
            time=NOON * 1000 + 7,
            partner="4242",
            entry='"1_x"',
            values=('"4242"', '"1_x"'),
            type=99,
            identity=event.identity,
            amounts={"views": 1, "bufferTime": 250, "bufferedViews": 1},
            bad=(),
            session=event.session,
            index=3,
            started=event.started,
        )
        == event
    )
    assert len(event.identity) == 16


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", Reason.UNREADABLE_LINE),
        (b"null", Reason.UNREADABLE_LINE),
        (b"{}", Reason.UNREADABLE_LINE),
        (b"[" * 100_000, Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a"}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a","time":"1"}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a","time":0}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a","time":-1}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a","time":4102444800000}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a","time":9999999999999999999999}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"\xff","time":1}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"\\ud800","time":1}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a","time":1,"query64":"!"}', Reason.UNREADABLE_LINE),
        (b'{"v":1,"id":"a","time":1,"query64":"\xc3\xa9"}', Reason.UNREADABLE_LINE),
        (b'{"v":2,"id":"a","time":1}', Reason.UNKNOWN_VERSION),
        (b'{"v":1,"id":"a","time":1}', Reason.BAD_PARTNER),
    ],
)
def test_a_line_that_cannot_be_read_names_its_reason(line: bytes, reason: Reason) -> None:
    assert _rejected(line) == reason


def test_fields_that_a_later_ingest_may_add_are_passed_over() -> None:
    line = play()
    assert read_event(line[:-1] + b',"country":{"code":"fr"}}') == read_event(line)


@given(raw=st.binary(max_size=200))
def test_any_bytes_give_an_event_or_a_reason(raw: bytes) -> None:
    for by_pair in (False, True):
        try:
            assert isinstance(read_event(raw, by_pair), Event)
        except Rejected as rejected:
            assert isinstance(rejected.reason, Reason)


_SPICE = [
    b"%",
    b"%3",
    b"%ff",
    b"+",
    b"&",
    b"=",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"{",
    b"[",
    b"\\ud800",
    b"1e309",
]
_piece = (
    st.sampled_from(_SPICE) | st.binary(max_size=3) | st.sampled_from([b"3", b"99", b"4242", b"null", b"analytics"])
)
_value = st.lists(_piece, max_size=4).map(b"".join)
_name = st.sampled_from(
    [b"eventType", b"partnerId", b"entryId", b"sessionId", b"eventIndex", b"bufferTime", b"service", b"event%49ndex"]
)
_pairs = st.lists(st.tuples(_name, _value), max_size=10).map(
    lambda pairs: b"&".join(name + b"=" + value for name, value in pairs)
)
_json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
_object = st.dictionaries(_name.map(bytes.decode), _json_value, max_size=8).map(lambda o: json.dumps(o).encode())


@given(
    query=_pairs | st.just(changed().encode()),
    body=st.just(b"") | _pairs | _object | st.binary(max_size=40),
    content_type=st.sampled_from([b"", FORM.encode(), JSON.encode(), b"multipart/form-data", b"\xff"]),
)
@example(query=changed().encode(), body=b"\xff\xfe{", content_type=b"application/json")
@example(query=changed().encode(), body=b'{"sessionId":"\xed\xa0\x80"}', content_type=b"")
def test_any_request_that_ingest_can_write_gives_an_event_or_a_reason(
    query: bytes, body: bytes, content_type: bytes
) -> None:
    beacon = Beacon(
        "i-1", NOON * 1000, method="POST", path=INDEX_PHP.encode(), query=query, content_type=content_type, body=body
    )
    try:
        event = read_event(encode(beacon))
    except Rejected as rejected:
        assert isinstance(rejected.reason, Reason)
        return
    assert event.partner.isdigit() and int(event.partner) > 0
    assert isinstance(json.loads(event.entry), str)
    assert all(isinstance(amount, int) and 0 < amount <= 86_400_000 for amount in event.amounts.values())


@given(
    session=st.binary(min_size=1, max_size=20).filter(lambda raw: raw not in (b"null", b"undefined", b"NaN")),
    entry=st.binary(max_size=20),
)
def test_a_request_as_get_as_form_and_however_escaped_is_one_event(session: bytes, entry: bytes) -> None:
    values = {"sessionId": _quoted(session), "entryId": _quoted(entry)}
    upper = {name: value.upper() for name, value in values.items()}
    form = Beacon("i-9", NOON * 1000, "", "POST", INDEX_PHP.encode(), b"service=analytics", content_type=FORM.encode())
    as_form = encode(
        Beacon(**{name: getattr(form, name) for name in form.__struct_fields__} | {"body": changed(**values).encode()})
    )
    assert event_of(changed(**values)) == event_of(changed(**upper)) == read_event(as_form)


@given(
    session=st.text(min_size=1, max_size=20).filter(lambda text: text not in ("null", "undefined", "NaN")),
    entry=st.text(max_size=16),
)
def test_a_request_as_get_and_as_json_is_one_event(session: str, entry: str) -> None:
    values = {"sessionId": session, "entryId": entry, "eventIndex": 7, "eventType": 3, "partnerId": 4242}
    quoted = {
        name: _quoted(str(value).encode()) if isinstance(value, str) else str(value) for name, value in values.items()
    }
    body = json.dumps(values).encode()
    as_json = encode(
        Beacon("i-9", NOON * 1000, "", "POST", INDEX_PHP.encode(), b"service=analytics&action=trackEvent", body=body)
    )
    assert read_event(as_json) == event_of(_only(quoted))


def _only(values: dict[str, str]) -> str:
    return "service=analytics&action=trackEvent" + "".join(f"&{name}={value}" for name, value in values.items())


@given(first=st.binary(min_size=1, max_size=8), second=st.binary(min_size=1, max_size=8))
@example(first=b"\xff", second=b"\xfe")
@example(first=b"\xff", second=b"\\xff")
@example(first=b"a\0", second=b"a")
@example(first=b"%41", second=b"A")
@example(first=b"\xc3\xa9", second=b"e\xcc\x81")
def test_sessions_of_other_bytes_are_other_sessions(first: bytes, second: bytes) -> None:
    one, other = (event_of(changed(sessionId=_quoted(raw))) for raw in (first, second))
    absent = {b"null", b"undefined", b"NaN"}
    assert (one.identity == other.identity) == (first == second or {first, second} <= absent)


def test_a_session_is_bounded_in_bytes() -> None:
    assert event_of(changed(sessionId="%C3%A9" * 128)).type == 3
    assert _rejected(get_line(changed(sessionId="%C3%A9" * 128 + "a"))) == "long_session"
    assert _rejected(get_line(changed(sessionId="s" * 257))) == "long_session"


def test_an_entry_is_bounded_in_bytes() -> None:
    assert event_of(changed(entryId="%C3%A9" * 32)).entry == json.dumps("é" * 32, ensure_ascii=False)
    assert _rejected(get_line(changed(entryId="%C3%A9" * 32 + "a"))) == "long_entry"


def test_a_partner_is_one_number_however_it_is_written() -> None:
    assert {event_of(changed(partnerId=text)).partner for text in ("4242", "04242", "+4242", "4242%20")} == {"4242"}


@given(text=st.text(max_size=6))
def test_a_partner_is_digits_or_the_line_is_rejected(text: str) -> None:
    try:
        partner = event_of(changed(partnerId=_quoted(text.encode()))).partner
    except Rejected as rejected:
        assert rejected.reason is Reason.BAD_PARTNER
    else:
        assert partner == str(int(text.strip())) and text.strip().isascii()


@given(milliseconds=st.integers(0, 86_400_000))
def test_seconds_become_whole_milliseconds(milliseconds: int) -> None:
    text = f"{milliseconds / 1000:.3f}"
    event = event_of(changed(eventType="99", bufferTime=text))
    buffered = {"bufferTime": milliseconds, "bufferedViews": 1} if milliseconds else {}
    assert (event.amounts, event.bad) == ({"views": 1} | buffered, ())


@given(text=st.text(max_size=8))
def test_a_number_is_added_or_metered(text: str) -> None:
    event = event_of(changed(eventType="99", bufferTime=_quoted(text.encode())))
    added = event.amounts.get("bufferTime", 0)
    assert (added == 0) or (event.bad == () and added == round(float(text) * 1000))
    assert event.bad in ((), ("bufferTime",)) and event.amounts["views"] == 1


@pytest.mark.parametrize(
    ("position", "before"), [(None, 1), ("1", 1), ("3", 1), ("-1", 1), ("2", 0), ("0", 0), ("00", 0), ("0.0", 0)]
)
def test_an_error_is_before_the_start_where_its_position_is_absent_or_says_so(
    position: str | None, before: int
) -> None:
    said = {} if position is None else {"errorPosition": position}
    assert event_of(changed(eventType="98", **said)).amounts.get("errorsBeforeStart", 0) == before


def test_amounts_are_not_shared_between_an_event_with_a_number_and_its_like() -> None:
    event_of(changed(eventType="99", bufferTime="5"))
    assert event_of(changed(eventType="99")).amounts == {"views": 1}


def test_what_is_remembered_of_one_event_does_not_leak_into_the_next() -> None:
    # Partners, entries and types are remembered by their raw text: the same text in another place is another thing.
    texts = ["3", "99", "%33", "4242", "+3"]
    for text in texts:
        for service in ("analytics", "stats", "%61nalytics"):
            query = f"service={service}&action=trackEvent&eventType={text}&partnerId={text}&entryId={text}"
            plain = text.replace("%33", "3").replace("+", " ")
            event = event_of(query)
            known = service != "stats"
            assert (event.type, event.partner, json.loads(event.entry)) == (
                int(plain) if known else -1,
                plain.strip(),
                plain,
            )
