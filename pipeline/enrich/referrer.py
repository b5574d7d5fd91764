"""Domain and page of the referrer parameter, whose clients encode it once (KAVA) or twice (kAnalony)."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

UNKNOWN = "unknown"


def read_referrer(referrer: str) -> dict[str, str]:
    """Return lower-case host, and host with path, of a referrer that was percent-decoded once; no query."""
    # kAnalony of 2016-2018 sent it double-encoded (protocol.md section 3): then no scheme is to be seen yet.
    url = referrer if "://" in referrer else unquote(referrer)
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        return {"domain": UNKNOWN, "page": UNKNOWN}
    return {"domain": host, "page": host + (parts.path or "/")}
