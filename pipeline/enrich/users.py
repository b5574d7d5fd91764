"""The user of an event: from a signed KS, or as the page claims; kept as a keyed hash and never as a name."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from pipeline.dimensions import Dated
from pipeline.identity import ABSENT
from pipeline.parameters import raw_bytes

if TYPE_CHECKING:
    from pipeline.enrich.ks import KS

MIN_KEY_BYTES = 16
# 96 bits: among a thousand million users no two meet.
HASH_BYTES = 12
NOBODY = Dated("", 0, "")
Secrets = dict[str, tuple[bytes, ...]]
_PARTNER = re.compile(r"[1-9]\d{0,17}", re.ASCII)


class Users:
    """Gives users as hashes; the same id has another hash at another partner."""

    def __init__(self, key: bytes, read_ks: Callable[[str, str], KS | None] | None, takes_claims: bool) -> None:
        """Hash with this key; `read_ks` gives what a (KS, partner) says if it is signed, `None`: no KS is believed.

        `takes_claims`: parameter userId names the user where no valid KS does.
        """
        self._key = key
        self._read_ks = read_ks
        self._takes_claims = takes_claims

    def read(self, partner: str, user_id: str, ks: str) -> Dated:
        """Return the user: that of a signed KS until it expires, else the claimed one; empty: anonymous."""
        claimed = ""
        if self._takes_claims and user_id != "0" and user_id not in ABSENT:
            claimed = self._hash(partner, raw_bytes(user_id))
        signed = self._read_ks(ks, partner) if self._read_ks is not None and ks else None
        if signed is None or not signed.user:
            return Dated(claimed, 0, claimed)
        return Dated(self._hash(partner, signed.user), signed.until_s * 1000, claimed)

    def _hash(self, partner: str, user: bytes) -> str:
        return hmac.digest(self._key, partner.encode() + b"\0" + user, "sha256")[:HASH_BYTES].hex()


def read_key(content: bytes) -> bytes:
    """Return the key that a file holds, without the line break that an editor puts behind it.

    Raises:
        ValueError: it is too short to keep anything secret.
    """
    key = content.rstrip(b"\r\n")
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"a key has at least {MIN_KEY_BYTES} bytes; `head -c 32 /dev/urandom` makes one")
    return key


def read_secrets(content: bytes) -> Secrets:
    """Return the secrets of each partner from JSON: {"PARTNER": "SECRET", "PARTNER": ["SECRET", "SECRET"]}.

    Raises:
        ValueError: it is something else. The message says where, and holds nothing of the file.
    """
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"no JSON: line {error.lineno} column {error.colno}") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object of partner ids with their secrets")
    secrets: Secrets = {}
    for number, (partner, listed) in enumerate(found.items(), 1):
        several = listed if isinstance(listed, list) else [listed]
        if not _PARTNER.fullmatch(partner):
            raise ValueError(f"name {number} is no partner id")
        if not several or not all(isinstance(secret, str) and secret for secret in several):
            raise ValueError(f"value {number} is neither a secret nor a list of secrets")
        secrets[partner] = tuple(secret.encode() for secret in several)
    return secrets
