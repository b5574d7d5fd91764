"""Country, region, city and network of an address, from database files of the operator (MaxMind format)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import maxminddb

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
_NONE = dict.fromkeys(("country", "region", "city", "network"), UNKNOWN)


class Addresses:
    """Looks addresses up; a file that was replaced is opened again, a broken one leaves the last good one in use."""

    def __init__(self, places: Path | None, networks: Path | None) -> None:
        """Use these files; None: every answer of it is `unknown`."""
        self._files = [_Database(path) for path in (places, networks)]

    def refresh(self) -> None:
        """Open the files that changed again."""
        for file in self._files:
            file.refresh()

    def read(self, address: str) -> dict[str, str]:
        """Return the four dimensions of an address."""
        if not address:
            return dict(_NONE)
        place, network = (file.get(address) for file in self._files)
        regions = place.get("subdivisions") or [{}]
        number = network.get("autonomous_system_number")
        return {
            "country": _text(place.get("country", {}).get("iso_code")),
            "region": _text(regions[0].get("iso_code")),
            "city": _text(place.get("city", {}).get("names", {}).get("en")),
            "network": f"AS{number}" if number else UNKNOWN,
        }


def _text(value: Any) -> str:
    return str(value) if value else UNKNOWN


class _Database:
    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._reader: maxminddb.Reader | None = None
        self.refresh()

    def refresh(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._reader = maxminddb.open_database(self._path, maxminddb.MODE_MEMORY)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            log.error("address database %s cannot be read, %s: %s", self._path, "the last good one stays in use"
                      if self._reader else "places stay unknown", error)  # fmt: skip

    def get(self, address: str) -> dict[str, Any]:
        if self._reader is None:
            return {}
        try:
            found = self._reader.get(address)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
