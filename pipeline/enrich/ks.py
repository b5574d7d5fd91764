"""A KS, Kaltura's signed session text: believed only if it was made with a secret of the event's own partner.

Formats v1 and v2 as published (features.md section 2). What it restricts (addresses, actions, pages) is about
the API that it opens, not about who watches, and is not looked at.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha1
from hmac import compare_digest
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ingest.beacon import percent_decode

# A request line takes about as much; real ones have 100 to 1,000 characters.
MAX_CHARACTERS = 8_192
# The alphabet of URLs, and what a + that nobody escaped became on its way.
_TO_BASE64 = str.maketrans("-_ ", "+/+")
_SHA1, _RANDOM, _BLOCK = 20, 16, 16
_INSTANT = re.compile(rb"\d{1,15}")
_ANONYMOUS = (b"", b"0")


class KS(NamedTuple):
    """What a signed KS says.

    Attributes:
        user: its user's id; b"" is nobody in particular.
        until_s: Unix seconds from which on it is expired.
    """

    user: bytes
    until_s: int


def read_ks(text: str, partner: str, secrets: Sequence[bytes]) -> KS | None:
    """Return what a KS says; None unless one of these secrets signed it for this partner. Never raises."""
    if not secrets or not text or len(text) > MAX_CHARACTERS:
        return None
    bare = text.rstrip("=").translate(_TO_BASE64)
    try:
        raw = b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None
    return (_read_v2 if raw.startswith(b"v2|") else _read_v1)(raw, partner.encode(), secrets)


def _read_v1(raw: bytes, partner: bytes, secrets: Sequence[bytes]) -> KS | None:
    """Read `sha1hex|partner;pattern;expiry;type;random;user;privileges ...`."""
    signature, _, said = raw.partition(b"|")
    fields = said.split(b";")
    if fields[0] != partner or len(fields) < 3:
        return None
    if not any(compare_digest(_sha1(secret + said).hex().encode(), signature) for secret in secrets):
        return None
    return _ks(fields[5] if len(fields) > 5 else b"", fields[2])


def _read_v2(raw: bytes, partner: bytes, secrets: Sequence[bytes]) -> KS | None:
    """Read `v2|partner|` and what is encrypted behind it: a SHA-1, 16 random bytes, a query string, zeros."""
    _, named, sealed = (*raw.split(b"|", 2), b"")[:3]
    if named != partner or not sealed or len(sealed) % _BLOCK:
        return None
    for secret in secrets:
        opened = _decrypted(sealed, secret).rstrip(b"\0")
        if compare_digest(_sha1(opened[_SHA1:]), opened[:_SHA1]):
            pairs = [pair.partition(b"=") for pair in opened[_SHA1 + _RANDOM :].split(b"&")]
            fields = {name: percent_decode(value) for name, _, value in pairs}
            return _ks(fields.get(b"_u", b""), fields.get(b"_e", b""))
    return None


def _ks(user: bytes, expiry: bytes) -> KS | None:
    if not _INSTANT.fullmatch(expiry):
        return None
    return KS(b"" if user in _ANONYMOUS else user, int(expiry))


def _decrypted(sealed: bytes, secret: bytes) -> bytes:
    # The format has no initialization vector: random bytes inside take its place.
    decryptor = Cipher(algorithms.AES(_sha1(secret)[:16]), modes.CBC(bytes(_BLOCK))).decryptor()
    return decryptor.update(sealed) + decryptor.finalize()


def _sha1(content: bytes) -> bytes:
    # What the format asks for. Whoever finds collisions in it still has no secret.
    return sha1(content, usedforsecurity=False).digest()
