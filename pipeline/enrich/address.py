"""Country, region, city and network of an address, from database files of the operator (MaxMind format)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import maxminddb

from pipeline.enrich.followed import Followed

UNKNOWN = "unknown"
_NOTHING = dict.fromkeys(("country", "region", "city", "network"), UNKNOWN)


class Addresses:
    """Looks addresses up in the layout of GeoIP2 and GeoLite2 (City or Country, ASN), which others follow."""

    def __init__(self, places: Path | None, networks: Path | None) -> None:
        """Use these files; None: every answer of it is `unknown`."""
        self._places = _database(places, "WORKER_PLACES_FILE", "country, region and city stay unknown")
        self._networks = _database(networks, "WORKER_NETWORKS_FILE", "networks stay unknown")

    def refresh(self) -> bool:
        """Read the files that changed again; tell whether one is new."""
        return any([self._places.refresh(), self._networks.refresh()])

    def read(self, address: str) -> dict[str, str]:
        """Return the four dimensions of an address, not to be changed; what the files do not say is `unknown`."""
        if self._places.content is None and self._networks.content is None:
            return _NOTHING
        try:
            parsed = ip_address(address)
        except ValueError:
            return _NOTHING
        place, network = _record(self._places, parsed), _record(self._networks, parsed)
        number = _at(network, "autonomous_system_number")
        return {
            "country": _text(_at(place, "country", "iso_code")),
            "region": _text(_at(place, "subdivisions", 0, "iso_code")),
            "city": _text(_at(place, "city", "names", "en")),
            "network": f"AS{number}" if isinstance(number, int) and number else UNKNOWN,
        }


def _database(path: Path | None, setting: str, without: str) -> Followed[maxminddb.Reader]:
    # In memory: a file that somebody overwrites in place must not change, or end, under a lookup.
    return Followed(path, lambda file: maxminddb.open_database(file, maxminddb.MODE_MEMORY), setting, without)


def _record(file: Followed[maxminddb.Reader], address: IPv4Address | IPv6Address) -> Any:
    reader = file.content
    if reader is None or (address.version == 6 and reader.metadata().ip_version == 4):
        return None
    try:
        return reader.get(address)
    except Exception as error:
        # It opened, and is damaged inside.
        file.distrust(error)
        return None


def _at(record: Any, *steps: str | int) -> Any:
    """Return what lies at these steps; None where a file is laid out in another way."""
    for step in steps:
        try:
            record = record[step]
        except (LookupError, TypeError):
            return None
    return record


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else UNKNOWN
