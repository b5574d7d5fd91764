"""Dimension sets that nobody keeps by default, ready to be kept: WORKER_SETS names them. Pure.

With them and the original's, every dimension of the catalog is in a set. A set by user has a row for every viewer and
hour, and counts users over any range; it needs WORKER_USER_KEY_FILE (deploy/README.md).
"""

from __future__ import annotations

from pipeline.kinds import DimensionSet, by

MORE_SETS: tuple[DimensionSet, ...] = (
    by("bot", "bot", windows="1m 1h", most=10),
    by("entryBot", "entryId", "bot", windows="1h"),
    by("region", "country", "region", windows="1m 1h", most=10_000),
    by("network", "network", windows="1m 1h", most=10_000),
    by("playerConfiguration", "uiConfId", windows="1m 1h", carried=True, most=5_000),
    by("deliveryType", "deliveryType", windows="1m 1h", carried=True, most=100),
    by("user", "user", windows="1h"),
)
