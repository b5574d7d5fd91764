"""All that looks dimensions up, put together from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.config import RefusedSetting, WorkerSettings
from pipeline.dimensions import Dated, Remembered
from pipeline.enrich.address import Addresses
from pipeline.enrich.agent import read_agent
from pipeline.enrich.followed import Followed
from pipeline.enrich.referrer import read_referrer
from pipeline.enrich.users import NOBODY, Secrets, Users, read_key, read_secrets

if TYPE_CHECKING:
    from pipeline.enrich.ks import KS

log = logging.getLogger(__name__)

_Content = TypeVar("_Content")


class Enrichers:
    """The Enrichment of a worker (pipeline/dimensions.py).

    What a beacon is looked up as depends on the operator's files as they are when it is counted. It is counted
    again only to heal a torn checkpoint: if a file is replaced before that, the beacons of the checkpoint may stand
    in two rows of the sets that ask this file. No other set knows of the files.
    """

    def __init__(self, settings: WorkerSettings, *, asks_for_users: bool = False) -> None:
        """Use the files that these settings name; without one of them its answers are unknown, or nobody.

        Raises:
            RefusedSetting: a file of users cannot be used. Users counted as nobody could not be told apart later,
                and beacons wait in Kafka meanwhile.
        """
        self.version = 0
        self._addresses = Addresses(settings.places_file, settings.networks_file)
        self._secrets: Followed[Secrets] | None = None
        self._users = self._users_of(settings)
        if asks_for_users and self._users is None:
            log.warning("a set asks for users, and WORKER_USER_KEY_FILE names no key: every viewer is anonymous")
        # Reading an agent costs 0.7 ms, mostly for the crawlers' patterns; viewers share a few thousand of them.
        self._agents: Remembered[str, dict[str, str]] = Remembered()

    def _users_of(self, settings: WorkerSettings) -> Users | None:
        if settings.ks_secrets_file is None:
            if settings.users == "verified":
                raise RefusedSetting("WORKER_USERS=verified needs WORKER_KS_SECRETS_FILE: no KS could be verified")
        elif settings.user_key_file is None:
            raise RefusedSetting("WORKER_KS_SECRETS_FILE needs WORKER_USER_KEY_FILE: users are kept as keyed hashes")
        if settings.user_key_file is None:
            return None
        key = _now("WORKER_USER_KEY_FILE", settings.user_key_file, read_key)
        return Users(key, self._ks_reader(settings.ks_secrets_file), settings.users == "claimed")

    def _ks_reader(self, path: Path | None) -> Callable[[str, str], KS | None] | None:
        if path is None:
            return None
        # AES is loaded where a KS is to be read, and nowhere else.
        from pipeline.enrich.ks import read_ks  # noqa: PLC0415

        _now("WORKER_KS_SECRETS_FILE", path, read_secrets)
        secrets = Followed(path, lambda file: read_secrets(file.read_bytes()), "WORKER_KS_SECRETS_FILE", "no KS counts")
        self._secrets = secrets
        return lambda ks, partner: read_ks(ks, partner, (secrets.content or {}).get(partner, ()))

    def refresh(self) -> None:
        """Read the files that changed again. Never raises; may take a while, and may run beside lookups."""
        news = [self._addresses.refresh(), self._secrets is not None and self._secrets.refresh()]
        if any(news):
            # Last of all: who remembers answers of this version has asked the new files.
            self.version += 1
            log.info("beacons are looked up in the new files from now on, version %d", self.version)

    def agent(self, agent: str) -> dict[str, str]:
        """Return device, operatingSystem, browser and bot."""
        return self._agents.get(agent) or self._agents.remember(agent, read_agent(agent))

    def referrer(self, referrer: str) -> dict[str, str]:
        """Return domain and page."""
        return read_referrer(referrer)

    def address(self, address: str) -> dict[str, str]:
        """Return country, region, city and network."""
        return self._addresses.read(address)

    def user(self, partner: str, user_id: str, ks: str) -> Dated:
        """Return the user."""
        return NOBODY if self._users is None else self._users.read(partner, user_id, ks)


def _now(setting: str, path: Path, read: Callable[[bytes], _Content]) -> _Content:
    try:
        return read(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RefusedSetting(f"setting {setting}={path}: {error}") from error
