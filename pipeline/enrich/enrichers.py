"""All that looks dimensions up, put together from the settings."""

from __future__ import annotations

from pathlib import Path

from pipeline.dimensions import Remembered
from pipeline.enrich.address import Addresses
from pipeline.enrich.agent import read_agent
from pipeline.enrich.referrer import read_referrer


class Enrichers:
    """The Enrichment of a worker (pipeline/dimensions.py)."""

    def __init__(self, places: Path | None = None, networks: Path | None = None) -> None:
        """Use these database files for addresses; None: unknown."""
        self.addresses = Addresses(places, networks)
        # Reading an agent costs 0.7 ms, mostly for the crawlers' patterns; viewers share a few thousand of them.
        self._agents: Remembered[str, dict[str, str]] = Remembered()

    def agent(self, agent: str) -> dict[str, str]:
        """Return device, operatingSystem, browser and bot."""
        return self._agents.get(agent) or self._agents.remember(agent, read_agent(agent))

    def referrer(self, referrer: str) -> dict[str, str]:
        """Return domain and page."""
        return read_referrer(referrer)

    def address(self, address: str) -> dict[str, str]:
        """Return country, region, city and network."""
        return self.addresses.read(address)

    def user(self, partner: str, user_id: str, ks: str, time_ms: int) -> dict[str, str]:
        """Return the user."""
        return {"user": ""}
