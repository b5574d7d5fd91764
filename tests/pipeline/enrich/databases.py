"""Database files in MaxMind's format, made for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def place(country: str, region: str = "", city: str = "") -> dict[str, Any]:
    """Return a record as GeoLite2-City has it, with what a file has beside."""
    record: dict[str, Any] = {
        "continent": {"code": "EU", "names": {"en": "Europe"}},
        "country": {"geoname_id": 1, "iso_code": country, "names": {"en": country, "de": country}},
        "location": {"latitude": 1.5, "longitude": -2.5, "time_zone": "Europe/Berlin"},
    }
    if region:
        record["subdivisions"] = [
            {"iso_code": region, "names": {"en": "First"}},
            {"iso_code": "XX", "names": {"en": "Second"}},
        ]
    if city:
        record["city"] = {"geoname_id": 2, "names": {"de": city + " (de)", "en": city}}
    return record


def network(number: int) -> dict[str, Any]:
    """Return a record as GeoLite2-ASN has it."""
    return {"autonomous_system_number": number, "autonomous_system_organization": "Example"}


def write(path: Path, records: dict[str, Any], ip_version: int = 6) -> Path:
    """Write a file of records by network, as replacing tools do: whole, under another name, then moved."""
    writer = MMDBWriter(ip_version, "Test-City", ["en", "de"], "Test", ipv4_compatible=ip_version == 6)
    for cidr, record in records.items():
        writer.insert_network(IPSet([cidr]), record)
    made = path.with_suffix(".made")
    writer.to_db_file(str(made))
    made.replace(path)
    return path
