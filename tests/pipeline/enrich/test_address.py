"""Places and networks from database files of an operator: what they say, and what becomes of files that are none."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.enrich.address import Addresses
from tests.pipeline.enrich.databases import network, place, write
from tests.pipeline.life import folder

UNKNOWN = {"country": "unknown", "region": "unknown", "city": "unknown", "network": "unknown"}
BERLIN = {"country": "DE", "region": "BE", "city": "Berlin", "network": "unknown"}
PLACES = {
    "192.0.2.0/24": place("DE", "BE", "Berlin"),
    "198.51.100.0/25": place("FR", "IDF", "Paris"),
    "198.51.100.128/25": place("JP"),
    "2001:db8:1::/48": place("BR", "SP", "São Paulo"),
}
NETWORKS = {"192.0.2.0/24": network(64_496), "2001:db8::/32": network(4_200_000_000)}


@pytest.fixture
def places(tmp_path: Path) -> Path:
    return write(tmp_path / "places.mmdb", PLACES)


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    return write(tmp_path / "networks.mmdb", NETWORKS)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.0", ("DE", "BE", "Berlin", "AS64496")),
        ("192.0.2.255", ("DE", "BE", "Berlin", "AS64496")),
        ("198.51.100.0", ("FR", "IDF", "Paris", "unknown")),
        ("198.51.100.200", ("JP", "unknown", "unknown", "unknown")),
        ("2001:db8:1::", ("BR", "SP", "São Paulo", "AS4200000000")),
        ("2001:db8:2::1", ("unknown", "unknown", "unknown", "AS4200000000")),
        ("203.0.113.0", ("unknown", "unknown", "unknown", "unknown")),
        ("2001:db9::", ("unknown", "unknown", "unknown", "unknown")),
    ],
)
def test_an_address_is_where_the_files_say(
    places: Path, networks: Path, address: str, expected: tuple[str, str, str, str]
) -> None:
    found = Addresses(places, networks).read(address)
    assert (found["country"], found["region"], found["city"], found["network"]) == expected


@pytest.mark.parametrize(
    "address", ["", "unknown", "192.0.2", "192.0.2.0/24", "2001:db8:1::%", "\udcff", "é", "1" * 99]
)
def test_what_is_no_address_is_unknown(places: Path, networks: Path, address: str) -> None:
    assert Addresses(places, networks).read(address) == UNKNOWN


def test_without_files_everything_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    addresses = Addresses(None, None)
    assert addresses.read("192.0.2.1") == UNKNOWN
    assert addresses.refresh() is False
    assert errors(caplog) == []


def test_a_file_of_ipv4_alone_does_not_know_ipv6(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    addresses = Addresses(write(tmp_path / "4.mmdb", {"192.0.2.0/24": place("DE", "BE", "Berlin")}, 4), None)
    assert addresses.read("192.0.2.1") == BERLIN
    assert addresses.read("2001:db8:1::") == UNKNOWN
    assert errors(caplog) == []


def test_a_replaced_file_is_read_without_a_restart(places: Path) -> None:
    addresses = Addresses(places, None)
    assert addresses.read("192.0.2.1") == BERLIN
    assert addresses.refresh() is False
    write(places, {"192.0.2.0/24": place("NL")})
    assert addresses.refresh() is True
    assert addresses.read("192.0.2.1")["country"] == "NL"
    assert addresses.refresh() is False


def test_a_file_of_the_same_size_and_time_is_another_one(tmp_path: Path) -> None:
    path = write(tmp_path / "places.mmdb", {"192.0.2.0/24": place("DE")})
    addresses, stamp = Addresses(path, None), path.stat()
    write(path, {"192.0.2.0/24": place("NL")})
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_size == stamp.st_size
    assert addresses.refresh() is True
    assert addresses.read("192.0.2.1")["country"] == "NL"


def test_a_file_that_comes_later_is_taken_in_and_its_absence_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "places.mmdb"
    addresses = Addresses(path, None)
    assert [addresses.refresh() for _ in range(3)] == [False] * 3
    assert addresses.read("192.0.2.1") == UNKNOWN
    (said,) = errors(caplog)
    assert "WORKER_PLACES_FILE" in said and "country, region and city stay unknown" in said and "No such file" in said
    write(path, PLACES)
    assert addresses.refresh() is True
    assert addresses.read("192.0.2.1") == BERLIN


BREAK: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"<html>\nquota exceeded\n</html>\n" * 50),
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut at its end": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "without its beginning": lambda path: path.write_bytes(path.read_bytes()[-300:]),
    "strange metadata": lambda path: path.write_bytes(b"\xab\xcd\xefMaxMind.com\xe1\x41a\x41b"),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("how", BREAK)
def test_a_broken_file_keeps_the_last_good_one_and_says_so_in_one_line(
    places: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = Addresses(places, None)
    BREAK[how](places)
    assert [addresses.refresh() for _ in range(3)] == [False] * 3
    assert addresses.read("192.0.2.1") == BERLIN
    (said,) = errors(caplog)
    assert said.startswith(f"WORKER_PLACES_FILE={places} cannot be read, the last good one stays in use: ")
    assert "\n" not in said
    if places.is_dir():
        places.rmdir()
    write(places, {"192.0.2.0/24": place("NL")})
    assert addresses.refresh() is True
    assert addresses.read("192.0.2.1")["country"] == "NL"


@pytest.mark.parametrize("how", BREAK)
def test_a_file_broken_from_the_start_leaves_all_unknown(
    networks: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    BREAK[how](networks)
    assert Addresses(None, networks).read("192.0.2.1") == UNKNOWN
    (said,) = errors(caplog)
    assert said.startswith(f"WORKER_NETWORKS_FILE={networks} cannot be read, networks stay unknown: ")


def test_the_other_file_goes_on_when_one_breaks(places: Path, networks: Path) -> None:
    addresses = Addresses(places, networks)
    places.write_bytes(b"")
    write(networks, {"192.0.2.0/24": network(64_497)})
    assert addresses.refresh() is True
    assert addresses.read("192.0.2.1") == BERLIN | {"network": "AS64497"}


@pytest.mark.parametrize(
    "record",
    [
        "DE",
        7,
        True,
        [],
        {},
        [{"iso_code": "DE"}],
        {"country": "DE", "region": "BE", "city": "Berlin", "autonomous_system_number": "AS1"},
        {"country": {}, "subdivisions": {}, "city": {"names": {}}, "autonomous_system_number": 0},
        {"country": {"iso_code": 7}, "subdivisions": [], "city": {"names": ["en"]}},
        {"country": {"iso_code": ""}, "subdivisions": ["BE"], "city": []},
    ],
)
def test_a_file_laid_out_in_another_way_says_nothing(tmp_path: Path, record: object) -> None:
    path = write(tmp_path / "odd.mmdb", {"192.0.2.0/24": record})
    assert Addresses(path, path).read("192.0.2.1") == UNKNOWN


def test_damage_inside_a_file_is_said_once_and_raises_nothing(places: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = places.read_bytes()
    # A type that the format does not have, where records lie.
    at = whole.index(b"iso_code")
    places.write_bytes(whole[: at - 1] + b"\x00\x09" + whole[at + 1 :])
    addresses = Addresses(places, None)
    assert [addresses.read("192.0.2.1") for _ in range(3)] == [UNKNOWN] * 3
    (said,) = errors(caplog)
    assert said.startswith(f"WORKER_PLACES_FILE={places} is damaged: ")


@given(at=st.lists(st.integers(0, 100_000), min_size=1, max_size=4), byte=st.integers(0, 255))
def test_no_changed_bytes_raise(at: list[int], byte: int) -> None:
    with folder() as base:
        path = write(base / "places.mmdb", PLACES)
        raw = bytearray(path.read_bytes())
        for where in at:
            raw[where % len(raw)] = byte
        path.write_bytes(raw)
        addresses = Addresses(path, path)
        for address in ("192.0.2.1", "198.51.100.200", "2001:db8:1::", "203.0.113.0"):
            assert all(isinstance(value, str) for value in addresses.read(address).values())
