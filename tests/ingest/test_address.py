"""Whose word about an address counts, and how much of one is kept."""

from __future__ import annotations

import re

import pytest

from ingest.address import Addresses, networks

TRUSTED = networks("10.0.0.0/8, 127.0.0.1, fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "kept"),
    [
        ("203.0.113.77", b"", "203.0.113.0"),
        ("2001:db8:1:2::77", b"", "2001:db8:1::"),
        ("::ffff:203.0.113.77", b"", "203.0.113.0"),
        ("fe80::1%eth0", b"", "fe80::"),
        ("", b"", ""),
        # Anybody can write the header; only a trusted proxy is believed.
        ("203.0.113.77", b"198.51.100.1", "203.0.113.0"),
        ("10.1.2.3", b"198.51.100.1", "198.51.100.0"),
        ("10.1.2.3", b"1.1.1.1, 198.51.100.9, 10.9.9.9", "198.51.100.0"),
        ("10.1.2.3", b"junk, 10.9.9.9", "10.9.9.0"),
        ("10.1.2.3", b"\xff\xfe", "10.1.2.0"),
        ("10.1.2.3", b"", "10.1.2.0"),
        ("fd00::1", b"2001:db8:7:8::1", "2001:db8:7::"),
    ],
)
def test_an_address_is_cut_to_its_network(peer: str, forwarded: bytes, kept: str) -> None:
    assert Addresses(TRUSTED, full=False).of(peer, forwarded) == kept


def test_the_whole_address_is_kept_only_if_asked_for() -> None:
    assert Addresses(TRUSTED, full=True).of("10.1.2.3", b"198.51.100.9") == "198.51.100.9"


@pytest.mark.parametrize("listed", ["10.0.0.0/99", "proxy.example"])
def test_a_list_that_is_none_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match=re.escape(listed.partition("/")[0])):
        networks(listed)


def test_a_long_header_is_read_and_not_remembered() -> None:
    addresses = Addresses(TRUSTED, full=False)
    for number in range(50):
        long = b"1.1.1.1, " * 3000 + b"198.51.100.%d" % number
        assert addresses.of("10.1.2.3", long) == "198.51.100.0"
    addresses.of("10.1.2.3", b"198.51.100.1")
    assert addresses._read.cache_info().currsize == 1
