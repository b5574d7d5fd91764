"""Makes KS texts by the published formats, with nothing of the code that reads them."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PARTNER, SECRET = "4242", "0123456789abcdef0123456789abcdef"
RANDOM = bytes(range(16))
# 2026-11-24 09:07:00 UTC.
EXPIRY = 1_795_511_220


def ks_v1(
    user: str | bytes = "ann",
    *,
    partner: str = PARTNER,
    secret: str = SECRET,
    expiry: int | str = EXPIRY,
    privileges: str = "view:*,widget:1",
) -> str:
    """Return sha1hex|partner;partner;expiry;type;rand;user;privileges;master;extra in base64."""
    name = user if isinstance(user, bytes) else user.encode()
    info = b"%s;%s;%s;0;1795424820.5;%s;%s;;" % (
        partner.encode(),
        partner.encode(),
        str(expiry).encode(),
        name,
        privileges.encode(),
    )
    return base64.b64encode(hashlib.sha1(secret.encode() + info).hexdigest().encode() + b"|" + info).decode()


def ks_v2(
    user: str | bytes = "ann",
    *,
    partner: str = PARTNER,
    secret: str = SECRET,
    expiry: int | str | None = EXPIRY,
    privileges: tuple[tuple[str, str], ...] = (("view", "*"), ("widget", "1")),
) -> str:
    """Return v2|partner|AES(sha1, random, query string) in base64 of URLs."""
    pairs: list[tuple[str, str | bytes]] = [*privileges, ("_t", "0"), ("_u", user), ("_m", ""), ("_d", "")]
    if expiry is not None:
        pairs.append(("_e", str(expiry)))
    return sealed_v2(RANDOM + urlencode(pairs).encode(), partner, secret)


def sealed_v2(said: bytes, partner: str = PARTNER, secret: str = SECRET) -> str:
    """Return a v2 KS with these bytes behind the signature."""
    signed = hashlib.sha1(said).digest() + said
    return base64.urlsafe_b64encode(f"v2|{partner}|".encode() + encrypted(signed, secret)).decode()


def encrypted(plain: bytes, secret: str = SECRET) -> bytes:
    """Return AES-128-CBC with sha1(secret)[:16], no IV, zeros behind."""
    padded = plain + bytes(-len(plain) % 16)
    encryptor = Cipher(algorithms.AES(hashlib.sha1(secret.encode()).digest()[:16]), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(padded) + encryptor.finalize()
