"""A KS is believed if the partner's secret signed it, in both formats; no bytes crash its reader."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.enrich.ks import KS, MAX_CHARACTERS, read_ks
from tests.pipeline.enrich.ks_maker import EXPIRY, PARTNER, RANDOM, SECRET, encrypted, ks_v1, ks_v2, sealed_v2

Maker = Callable[..., str]
BOTH = pytest.mark.parametrize("make", [ks_v1, ks_v2])
SECRETS = [SECRET.encode()]
# A user's id: in v1 a semicolon ends it.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters=";"), max_size=40)


def read(text: str, partner: str = PARTNER, secrets: list[bytes] | None = None) -> KS | None:
    return read_ks(text, partner, SECRETS if secrets is None else secrets)


@BOTH
def test_a_signed_ks_names_its_user_and_its_end(make: Maker) -> None:
    assert read(make("ann")) == KS(b"ann", EXPIRY)


def test_a_ks_made_elsewhere_by_the_published_formats_is_read() -> None:
    # Worked out once with openssl and sha1sum, so that maker and reader cannot be wrong together.
    v1 = (
        "NTZkNWU2YzMzZjNiNWYwOWRkNDA3Y2YzZGU1ZTIyYjY0YTA1MzFiYXw0MjQyOzQyNDI7MTc5NTUxMTIyMDswOzE3OTU0MjQ4MjAuNTthbm47"
        "dmlldzoqLHdpZGdldDoxOzs="
    )
    v2 = (
        "djJ8NDI0MnyK8MV6QGR2bQQ2_2_kLTfmJTAkdPVPzvHReQaCAZgVftu3Ay-iI6lSlB0GyJwV_ENK5JcFKe0FZa0GQNuZP8rn9tuc4GpiVu-t"
        "Pakf71A0hhTBOUY7YCdvHdGGDnuZDHA="
    )
    assert read(v1) == read(v2) == KS(b"ann", EXPIRY)


@BOTH
@given(name=NAMES)
def test_every_user_id_comes_back(make: Maker, name: str) -> None:
    assert read(make(name)) == KS(b"" if name == "0" else name.encode(), EXPIRY)


@BOTH
def test_a_user_id_that_is_no_utf_8_comes_back_too(make: Maker) -> None:
    assert read(make(b"\xff\x00 &=+%")) == KS(b"\xff\x00 &=+%", EXPIRY)


@BOTH
@pytest.mark.parametrize("nobody", ["", "0"])
def test_a_widget_session_names_nobody(make: Maker, nobody: str) -> None:
    assert read(make(nobody)) == KS(b"", EXPIRY)


@BOTH
def test_the_end_is_told_not_judged(make: Maker) -> None:
    assert read(make("ann", expiry=1)) == KS(b"ann", 1)


@BOTH
@pytest.mark.parametrize("expiry", ["", "-1", "soon", "1e9", "9" * 16, "١"])
def test_an_end_that_is_no_instant_is_not_believed(make: Maker, expiry: str) -> None:
    assert read(make("ann", expiry=expiry)) is None


def test_a_v2_ks_without_an_end_is_not_believed() -> None:
    assert read(ks_v2(expiry=None)) is None


@BOTH
def test_the_ks_of_another_partner_is_not_believed(make: Maker) -> None:
    # Even where both have the same secret.
    assert read(make("ann", partner="4243")) is None
    assert read(make("ann"), partner="4243") is None


@BOTH
def test_a_wrong_secret_signs_nothing(make: Maker) -> None:
    assert read(make("ann", secret="f" * 32)) is None
    assert read(make("ann"), secrets=[]) is None


@BOTH
def test_any_of_several_secrets_signs(make: Maker) -> None:
    assert read(make("ann"), secrets=[b"old", SECRET.encode(), b"next"]) == KS(b"ann", EXPIRY)


@BOTH
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_whoever_changes_one_bit_is_not_believed(make: Maker, at: int, bit: int) -> None:
    text = make("ann")
    raw = bytearray(base64.b64decode(text.translate(str.maketrans("-_", "+/"))))
    raw[at % len(raw)] ^= 1 << bit
    assert read(base64.b64encode(raw).decode()) is None


@BOTH
@given(data=st.data())
def test_a_cut_ks_is_not_believed(make: Maker, data: st.DataObject) -> None:
    text = make("ann").rstrip("=")
    assert read(text[: data.draw(st.integers(0, len(text) - 1))]) is None


@BOTH
def test_the_alphabet_of_urls_and_missing_padding_change_nothing(make: Maker) -> None:
    # Names long enough for every letter of the alphabet.
    text = make("ann?~" * 60)
    plain = text.translate(str.maketrans("-_", "+/"))
    assert plain.count("+") + plain.count("/") > 0
    expected = KS(b"ann?~" * 60, EXPIRY)
    for written in (plain, plain.translate(str.maketrans("+/", "-_")), plain.replace("+", " ")):
        assert read(written) == read(written.rstrip("=")) == expected


def test_a_v1_ks_of_three_fields_names_nobody() -> None:
    said = f"{PARTNER};{PARTNER};{EXPIRY}".encode()
    signature = hashlib.sha1(SECRET.encode() + said).hexdigest().encode()
    assert read(base64.b64encode(signature + b"|" + said).decode()) == KS(b"", EXPIRY)
    short = f"{PARTNER};{PARTNER}".encode()
    signature = hashlib.sha1(SECRET.encode() + short).hexdigest().encode()
    assert read(base64.b64encode(signature + b"|" + short).decode()) is None


def test_a_v2_ks_whose_fields_are_given_twice_is_read_as_php_does() -> None:
    assert read(sealed_v2(RANDOM + b"_u=bob&_e=%d&_u=a%%6en" % EXPIRY)) == KS(b"ann", EXPIRY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "====",
        "v2|4242|",
        "djJ8",
        "é" * 40,
        "\udcff" * 40,
        "\0" * 40,
        base64.b64encode(b"v2").decode(),
        base64.b64encode(b"v2|4242").decode(),
        base64.b64encode(b"v2|4242|").decode(),
        base64.b64encode(b"v2|4242|" + bytes(15)).decode(),
        base64.b64encode(b"v2|4242|" + bytes(16)).decode(),
        base64.b64encode(b"v2|4242|" + encrypted(b"")).decode(),
        base64.b64encode(b"v2|4242|" + encrypted(bytes(64))).decode(),
        base64.b64encode(b"|").decode(),
        base64.b64encode(b"|4242;4242;9999999999;0;0;ann;;;").decode(),
        base64.b64encode(b"da39a3ee5e6b4b0d3255bfef95601890afd80709|4242;;").decode(),
        "A" * (MAX_CHARACTERS + 1),
        "=" * 1_000_000,
    ],
)
def test_garbage_is_not_believed(text: str) -> None:
    assert read(text) is None


def test_a_ks_longer_than_a_request_line_is_not_looked_at() -> None:
    longest = (MAX_CHARACTERS // 4 * 3 - len(base64.b64decode(ks_v1("")))) * "a"
    assert read(ks_v1(longest)) is not None
    assert read(ks_v1(longest + "aaaa")) is None


@example(raw=b"v2|4242|" + encrypted(hashlib.sha1(b"").digest()))
@given(
    raw=st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"v2|4242|" + rest[: len(rest) // 16 * 16])
)
def test_no_bytes_crash_the_reader_and_none_unsigned_are_believed(raw: bytes) -> None:
    assert read(base64.b64encode(raw).decode()) is None


@given(text=st.text(max_size=300))
def test_no_text_crashes_the_reader(text: str) -> None:
    assert read(text) is None


@given(plain=st.binary(max_size=120), signed=st.booleans())
def test_whatever_a_secret_sealed_crashes_nothing(plain: bytes, signed: bool) -> None:
    # A partner with a secret may write what it likes; it is not a crash.
    text = sealed_v2(plain) if signed else base64.b64encode(b"v2|4242|" + encrypted(plain)).decode()
    found = read(text)
    assert found is None or b"_e=" in plain
