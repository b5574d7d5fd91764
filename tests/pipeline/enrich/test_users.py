"""Whose user counts, what is kept of it, and what may stand in the operator's files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dimensions import Dated
from pipeline.enrich.ks import KS, read_ks
from pipeline.enrich.users import HASH_BYTES, Users, read_key, read_secrets
from tests.pipeline.enrich.ks_maker import EXPIRY, SECRET, ks_v1, ks_v2

KEY = b"k" * 32


def users(takes_claims: bool = True, key: bytes = KEY) -> Users:
    return Users(key, lambda ks, partner: read_ks(ks, partner, [SECRET.encode()]), takes_claims)


def claimed(user_id: str, partner: str = "4242", key: bytes = KEY) -> str:
    return users(key=key).read(partner, user_id, "").after


def test_a_user_is_kept_as_a_hash_that_the_key_alone_can_make() -> None:
    hashed = claimed("ann")
    assert len(hashed) == 2 * HASH_BYTES and "ann" not in hashed
    assert hashed == claimed("ann") != claimed("bob")
    assert hashed != claimed("ann", key=b"l" * 32)


def test_the_same_id_at_two_partners_is_two_users() -> None:
    assert claimed("ann", "4242") != claimed("ann", "4243")
    assert claimed("2ann", "4") != claimed("ann", "42")


@pytest.mark.parametrize("nobody", ["", "0", "null", "undefined", "NaN"])
def test_who_claims_to_be_nobody_is_anonymous(nobody: str) -> None:
    assert claimed(nobody) == ""


@pytest.mark.parametrize("ks", [ks_v1("ann"), ks_v2("ann")])
def test_a_signed_user_wins_over_the_claimed_one_until_the_ks_expires(ks: str) -> None:
    assert users().read("4242", "bob", ks) == Dated(claimed("ann"), EXPIRY * 1000, claimed("bob"))


@pytest.mark.parametrize("ks", [ks_v1("ann"), ks_v2("ann")])
def test_without_a_claim_an_expired_ks_leaves_an_anonymous_viewer(ks: str) -> None:
    assert users().read("4242", "", ks) == Dated(claimed("ann"), EXPIRY * 1000, "")


def test_a_ks_of_nobody_leaves_the_claim() -> None:
    # The usual page: a widget session for the player, and the portal's own id beside it.
    found = users().read("4242", "bob", ks_v2("0"))
    assert found.before == found.after == claimed("bob")


UNSIGNED = [ks_v1("ann", secret="x"), ks_v2("ann", secret="x"), ks_v1("ann")[:-9], "garbage"]
UNSIGNED += [ks_v1("ann", partner="7"), ks_v2("ann", partner="7"), "é", "="]


@pytest.mark.parametrize("ks", UNSIGNED)
def test_an_unsigned_ks_names_nobody(ks: str) -> None:
    found = users().read("4242", "", ks)
    assert found.before == found.after == ""
    found = users().read("4242", "bob", ks)
    assert found.before == found.after == claimed("bob")


@pytest.mark.parametrize("ks", ["", *UNSIGNED])
def test_where_only_signed_users_count_a_claim_is_nobody(ks: str) -> None:
    found = users(takes_claims=False).read("4242", "bob", ks)
    assert found.before == found.after == ""


def test_where_only_signed_users_count_a_signed_one_does() -> None:
    assert users(takes_claims=False).read("4242", "bob", ks_v2("ann")) == Dated(claimed("ann"), EXPIRY * 1000, "")


def test_where_no_ks_is_believed_a_claim_counts() -> None:
    found = Users(KEY, None, True).read("4242", "bob", ks_v2("ann"))
    assert found.before == found.after == claimed("bob")


@given(user=st.binary(max_size=60), ks=st.binary(max_size=300), takes_claims=st.booleans())
def test_no_bytes_raise_and_no_unsigned_ks_changes_the_answer(user: bytes, ks: bytes, takes_claims: bool) -> None:
    user_id = user.decode("utf-8", "surrogateescape")
    reader = users(takes_claims)
    assert reader.read("4242", user_id, ks.decode("utf-8", "surrogateescape")) == reader.read("4242", user_id, "")


def test_a_claim_and_a_signature_of_the_same_bytes_are_one_user() -> None:
    def says(ks: str, partner: str) -> KS:
        return KS(b"\xff", EXPIRY)

    assert Users(KEY, says, True).read("4242", "", "any").before == claimed("\udcff")


# -- files


def test_a_key_loses_an_editors_line_break_and_nothing_else() -> None:
    assert read_key(b" 0123456789abcdef \r\n") == b" 0123456789abcdef "


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        read_key(b"0123456789abcde\n")


def test_a_partner_has_one_secret_or_several() -> None:
    assert read_secrets(b'{"7": "a", "8": ["b", "\xc3\xa9"]}') == {"7": (b"a",), "8": (b"b", b"\xc3\xa9")}
    assert read_secrets(b"{}") == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no JSON: line 1"),
        (b'{"7": "hush"', "no JSON: line 1"),
        (b'{"7":\n hush}', "no JSON: line 2"),
        (b"[]", "no JSON object"),
        (b'"hush"', "no JSON object"),
        (b'{"1": "a", "hush": "7"}', "name 2 is no partner id"),
        (b'{"07": "hush"}', "name 1 is no partner id"),
        (b'{"\xd9\xa3": "hush"}', "name 1 is no partner id"),
        (b'{"7": ""}', "value 1 is neither"),
        (b'{"7": []}', "value 1 is neither"),
        (b'{"7": 7}', "value 1 is neither"),
        (b'{"7": ["hush", null]}', "value 1 is neither"),
        (b"\xff", "no JSON"),
    ],
)
def test_broken_secrets_are_refused_without_showing_any(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        read_secrets(content)
    assert "hush" not in str(refused.value) and refused.value.__cause__ is None


@given(
    content=st.binary(max_size=60) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(repr).map(str.encode)
)
def test_no_content_raises_anything_else(content: bytes) -> None:
    try:
        read_secrets(content)
    except ValueError:
        return
    assert content.lstrip().startswith(b"{")
