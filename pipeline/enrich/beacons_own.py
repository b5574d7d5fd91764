"""What a beacon's own words say of it: agent and page, without any file of the operator."""

from __future__ import annotations

from pipeline.dimensions import Dated, Remembered
from pipeline.enrich.referrer import UNKNOWN, read_referrer

_PLACES = dict.fromkeys(("country", "region", "city", "network"), UNKNOWN)


class BeaconsOwn:
    """The Enrichment (pipeline/dimensions.py) of who has no files: of address and user it knows nothing.

    Threads may share one: what it remembers is looked up and put in at once each.
    """

    version = 0

    def __init__(self) -> None:
        """Know nothing yet."""
        self._agents: Remembered[str, dict[str, str]] = Remembered()

    def refresh(self) -> None:
        """Do nothing: there are no files."""

    def agent(self, agent: str) -> dict[str, str]:
        """Return device, operatingSystem, browser and bot."""
        # The tables of agents are loaded where one is asked for, and nowhere else.
        from pipeline.enrich.agent import read_agent  # noqa: PLC0415

        return self._agents.get(agent) or self._agents.remember(agent, read_agent(agent))

    def referrer(self, referrer: str) -> dict[str, str]:
        """Return domain and page."""
        return read_referrer(referrer)

    def address(self, address: str) -> dict[str, str]:
        """Return unknown for all of it."""
        return _PLACES

    def user(self, partner: str, user_id: str, ks: str) -> Dated:
        """Return nobody."""
        return Dated("", 0, "")
