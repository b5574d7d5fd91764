"""Who may see what: keys, what is presented, and the constant-time comparison between them."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.report.problem import Problem

FORMAT_VERSION = 1
# Compared with where no key has the id: an unknown id takes as long as a wrong secret.
_NOBODY = hashlib.sha256(b"nobody").digest()
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)

UNKNOWN_KEY = Problem(
    401,
    "no-key",
    "A valid key is needed.",
    "Send Authorization: Bearer id.secret, or sign in on the page.",
    headers={"WWW-Authenticate": 'Bearer realm="report"'},
)


class BrokenKeys(ValueError):
    """The key file says nothing that can be trusted: keep the last good one."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. Its secret is known to its owner only.

    Attributes:
        id: public part.
        partner: the one partner that it shows; None: an operator's, it shows all.
        digest: SHA-256 of the secret. A secret is 256 random bits: nothing slower is needed.
        expires: Unix seconds from which it no longer works; None: never.
        created: Unix seconds.
        note: for people.
    """

    id: str
    partner: str | None
    digest: bytes
    expires: int | None = None
    created: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, once it is known.

    Attributes:
        key: id of the key; "" where the report is open.
        partner: the only partner that may be seen; None: all.
    """

    key: str
    partner: str | None

    @property
    def operator(self) -> bool:
        """Tell whether every partner may be seen."""
        return self.partner is None


KeyRing = dict[str, Key]


def live(key: Key | None, now: int) -> bool:
    """Tell whether a key works at this instant."""
    return key is not None and (key.expires is None or now < key.expires)


def verify(ring: KeyRing, presented: str, now: int) -> Caller | None:
    """Return who presents `id.secret`, or None, in the same time whatever is wrong with it."""
    name, _, secret = presented.partition(".")
    key = ring.get(name)
    digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
    fits = hmac.compare_digest(digest, _NOBODY if key is None else key.digest)
    if key is None or not fits or not live(key, now):
        return None
    return Caller(key.id, key.partner)


def bearer(header: str) -> str | None:
    """Return what an Authorization header presents, or None if it is no Bearer."""
    scheme, _, presented = header.partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else None


def _key(said: Any) -> Key:
    if not isinstance(said, dict) or set(said) - {
        "id",
        "partnerId",
        "operator",
        "sha256",
        "expires",
        "created",
        "note",
    }:
        raise BrokenKeys("a key has unknown members")
    partner, operator, expires = said.get("partnerId"), said.get("operator", False), said.get("expires")
    if not _ID.fullmatch(str(said.get("id"))) or not _DIGEST.fullmatch(str(said.get("sha256"))):
        raise BrokenKeys("a key has no proper id or sha256")
    if operator is not (partner is None) or not (partner is None or (isinstance(partner, str) and partner)):
        raise BrokenKeys(f"key {said['id']} needs either a partnerId or operator: true")
    if not (expires is None or type(expires) is int):
        raise BrokenKeys(f"key {said['id']} has an expiry that is no Unix time")
    return Key(
        said["id"],
        partner,
        bytes.fromhex(said["sha256"]),
        expires,
        int(said.get("created", 0)),
        str(said.get("note", "")),
    )


def read_keys(content: bytes) -> KeyRing:
    """Return the keys of a key file.

    Raises:
        BrokenKeys: any part of it is not as it should be; half a key file is none.
    """
    try:
        said = orjson.loads(content)
    except ValueError as error:
        raise BrokenKeys("it is not JSON") from error
    if not isinstance(said, dict) or said.get("version") != FORMAT_VERSION:
        raise BrokenKeys(f"it is not version {FORMAT_VERSION}")
    listed = said.get("keys")
    if not isinstance(listed, list):
        raise BrokenKeys("it has no list of keys")
    ring = {key.id: key for key in map(_key, listed)}
    if len(ring) != len(listed):
        raise BrokenKeys("an id is there twice")
    return ring


def write_keys(ring: KeyRing) -> bytes:
    """Return the key file of these keys."""
    listed = []
    for key in ring.values():
        owner = {"operator": True} if key.partner is None else {"partnerId": key.partner}
        said = {"id": key.id, **owner, "sha256": key.digest.hex(), "created": key.created}
        said |= {} if key.expires is None else {"expires": key.expires}
        listed.append(said | ({"note": key.note} if key.note else {}))
    content = {"version": FORMAT_VERSION, "keys": listed}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
