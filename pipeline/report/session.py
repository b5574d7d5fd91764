"""Browser sessions: signed cookies that stand for a key, and the token against forged requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from pipeline.report.auth import Caller, KeyRing, live

COOKIE = "report_session"
CSRF_HEADER = "X-CSRF-Token"


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser.

    Attributes:
        key: id of the key it was opened with; a key that goes takes its sessions along.
        expires: Unix seconds.
        nonce: random; makes it one of a kind, so that it alone can be ended.
    """

    key: str
    expires: int
    nonce: str


def _sign(secret: bytes, purpose: str, text: str) -> str:
    said = f"{purpose}\n{text}".encode("utf-8", "surrogateescape")
    digest = hmac.digest(secret, said, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def write(session: Session, secret: bytes) -> str:
    """Return the cookie's value."""
    text = f"{session.key}.{session.expires}.{session.nonce}"
    return f"{text}.{_sign(secret, 'session', text)}"


def read(cookie: str, secret: bytes, now: int) -> Session | None:
    """Return the session of a cookie, if it is ours and not over."""
    text, _, signature = cookie.rpartition(".")
    own = _sign(secret, "session", text).encode()
    if not hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), own):
        return None
    key, expires, nonce = text.split(".")
    return Session(key, int(expires), nonce) if now < int(expires) else None


def caller(session: Session, ring: KeyRing, now: int) -> Caller | None:
    """Return who the session stands for, while its key works."""
    key = ring.get(session.key)
    return Caller(key.id, key.partner) if key is not None and live(key, now) else None


def csrf_token(session: Session, secret: bytes) -> str:
    """Return the token that a request of this session must carry to change anything."""
    return _sign(secret, "csrf", f"{session.key}.{session.nonce}")


def csrf_fits(session: Session, secret: bytes, token: str) -> bool:
    """Tell whether this is the session's token."""
    return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), csrf_token(session, secret).encode())


def same_site(fetch_site: str | None, origin: str | None, own: str) -> bool:
    """Tell whether a request that changes something comes from our own page, or from no browser.

    Args:
        fetch_site: header Sec-Fetch-Site, which scripts cannot forge.
        origin: header Origin.
        own: the origin that browsers see.
    """
    if fetch_site not in (None, "same-origin", "none"):
        return False
    return origin is None or origin == own
