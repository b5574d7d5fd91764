"""Headers that every answer carries, so that a browser does with it only what is meant."""

from __future__ import annotations

_ALL = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # In place of the library's name and version.
    "Server": "report",
}
API = _ALL | {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
PAGE = _ALL | {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
