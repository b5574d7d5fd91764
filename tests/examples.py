"""How many examples a property is tried with: all of them in `make test`, a part in `make check` (EXAMPLES=0.3)."""

from __future__ import annotations

import os

_SHARE = float(os.environ.get("EXAMPLES", "1"))


def some(number: int) -> int:
    """Return this many examples, or the part of them that this run takes."""
    return max(10, round(number * _SHARE))
