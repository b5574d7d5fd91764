"""Keys, sessions and limits."""

from __future__ import annotations

import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import session
from pipeline.report.auth import BrokenKeys, Caller, Key, bearer, live, read_keys, verify, write_keys
from pipeline.report.limits import Buckets, Verdict
from pipeline.report.session import Session


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


RING = {
    "one": Key("one", "7", digest("s1")),
    "two": Key("two", "7", digest("s2"), expires=100),
    "ops": Key("ops", None, digest("s3"), created=5, note="me"),
}


def test_each_live_key_of_a_partner_works_until_it_expires() -> None:
    assert verify(RING, "one.s1", 99) == Caller("one", "7")
    assert verify(RING, "two.s2", 99) == Caller("two", "7")
    assert verify(RING, "two.s2", 100) is None
    assert verify(RING, "ops.s3", 99) == Caller("ops", None)


# Hypothesis draws words of the code too: these are the keys themselves, or their halves.
@given(st.text(max_size=12).filter(lambda said: said not in {"one", "s1", "one.s1", "two.s2", "ops.s3"}))
def test_anything_else_is_nobody(presented: str) -> None:
    assert verify(RING, presented, 1) is None
    assert verify(RING, f"one.{presented}", 1) is None
    assert verify(RING, f"{presented}.s1", 1) is None


def test_a_secret_of_one_key_does_not_open_another() -> None:
    assert [verify(RING, one, 1) for one in ("one.s2", "two.s1", "one", "one.", ".s1", "", "nobody.nobody")] == [
        None
    ] * 7


@pytest.mark.parametrize(
    ("header", "presented"),
    [("Bearer a.b", "a.b"), ("bearer  a.b ", "a.b"), ("Basic a.b", None), ("", None), ("Bearer", "")],
)
def test_only_bearer_presents_a_key(header: str, presented: str | None) -> None:
    assert bearer(header) == presented


def test_a_key_file_comes_back_as_it_was_written() -> None:
    assert read_keys(write_keys(RING)) == RING
    assert b"s1" not in write_keys(RING)


def changed(**members: object) -> bytes:
    key = {"id": "a", "partnerId": "7", "sha256": "00" * 32}
    return orjson.dumps({"version": 1, "keys": [{**key, **members}]})


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"version":2,"keys":[]}', b'{"version":1,"keys":{}}',
        b'{"version":1,"keys":[7]}',
        changed(sha256="00"), changed(sha256="zz" * 32), changed(id="a.b"), changed(id=""), changed(partnerId=7),
        changed(partnerId=None), changed(partnerId=""), changed(operator=True), changed(expires="never"),
        changed(expires=True), changed(role="admin"),
        b'{"version":1,"keys":[' + b",".join([orjson.dumps(orjson.loads(changed())["keys"][0])] * 2) + b"]}",
    ],
)  # fmt: skip
def test_a_broken_key_file_is_refused_whole(content: bytes) -> None:
    with pytest.raises(BrokenKeys):
        read_keys(content)


SECRET = b"k" * 32
OPENED = Session("one", 1000, "n1")


def test_a_session_lives_as_long_as_its_time_and_its_key() -> None:
    cookie = session.write(OPENED, SECRET)
    assert session.read(cookie, SECRET, 999) == OPENED
    assert session.read(cookie, SECRET, 1000) is None
    assert session.read(cookie, b"x" * 32, 999) is None
    assert session.caller(OPENED, RING, 999) == Caller("one", "7")
    assert session.caller(OPENED, {}, 999) is None
    assert session.caller(Session("two", 1000, "n"), RING, 100) is None
    assert live(None, 1) is False


@given(st.text(max_size=60))
def test_a_cookie_that_is_not_ours_is_no_session(cookie: str) -> None:
    assert session.read(cookie, SECRET, 1) is None
    text, _, signature = session.write(OPENED, SECRET).rpartition(".")
    assert session.read(f"{cookie}.{signature}", SECRET, 1) is None or cookie == text


def test_only_the_sessions_own_token_fits_it() -> None:
    token = session.csrf_token(OPENED, SECRET)
    assert session.csrf_fits(OPENED, SECRET, token) is True
    assert session.csrf_fits(Session("one", 1000, "n2"), SECRET, token) is False
    assert session.csrf_fits(OPENED, SECRET, "") is False
    assert token not in session.write(OPENED, SECRET)


@pytest.mark.parametrize(
    ("site", "origin", "fits"),
    [
        (None, None, True),
        ("same-origin", "https://us", True),
        ("same-origin", None, True),
        ("none", None, True),
        ("same-site", "https://us", False),
        ("cross-site", "https://them", False),
        (None, "https://them", False),
        (None, "null", False),
    ],
)
def test_a_change_comes_from_our_own_page_or_from_no_browser(site: str | None, origin: str | None, fits: bool) -> None:
    assert session.same_site(site, origin, "https://us") is fits


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    #  burst 2, one a second:  t=0 take take -    t=0.5 -    t=1 take
    bucket = Buckets(per_second=1, burst=2)
    assert [bucket.take("a", 0.0) for _ in range(3)] == [
        Verdict(True, 1, 0.0),
        Verdict(True, 0, 0.0),
        Verdict(False, 0, 1.0),
    ]
    assert bucket.take("a", 0.5) == Verdict(False, 0, 0.5)
    assert bucket.take("a", 1.0) == Verdict(True, 0, 0.0)
    assert bucket.take("b", 1.0) == Verdict(True, 1, 0.0)
    assert bucket.look("b", 1.0) == Verdict(True, 1, 0.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=80))
def test_no_name_gets_more_than_burst_and_rate_together(asked: list[tuple[str, float]]) -> None:
    bucket, clock, taken = Buckets(per_second=2, burst=5, most_names=2), 0.0, {"a": 0, "b": 0, "c": 0}
    for name, wait in asked:
        clock += wait
        if name != "c" and bucket.take(name, clock).allowed:
            taken[name] += 1
    assert all(count <= 5 + 2 * clock + 1 for count in taken.values())
