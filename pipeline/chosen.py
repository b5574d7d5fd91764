"""Which dimension sets a line keeps: those that WORKER_SETS names, the catalog's by default.

Worker, report and commands of one line must be given the same: the report has tables for just these sets, so that
those nobody keeps cost it nothing and are not answered with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline import catalog
from pipeline.catalog import SETS, DimensionSet
from pipeline.config import RefusedSetting
from pipeline.more_sets import MORE_SETS
from pipeline.original_sets import ORIGINAL_SETS

# Read before `keep_chosen_sets` puts others in their place.
DEFAULT: tuple[DimensionSet, ...] = SETS
GROUPS: dict[str, tuple[DimensionSet, ...]] = {"default": DEFAULT, "original": ORIGINAL_SETS}
KNOWN: dict[str, DimensionSet] = {one.name: one for one in (*DEFAULT, *ORIGINAL_SETS, *MORE_SETS)}


def sets_named(names: str) -> tuple[DimensionSet, ...]:
    """Return the sets of a comma-separated list of names; `default` and `original` stand for all of theirs.

    Raises:
        RefusedSetting: a name is not known.
    """
    found: dict[str, DimensionSet] = {}
    for name in (part.strip() for part in names.split(",") if part.strip()):
        if name not in GROUPS and name not in KNOWN:
            known = ", ".join((*KNOWN, *GROUPS))
            raise RefusedSetting(f"WORKER_SETS: {name!r} is not in the catalog: {known}")
        found |= {one.name: one for one in GROUPS.get(name, ())} or {name: KNOWN[name]}
    return tuple(found.values()) or DEFAULT


def keep_chosen_sets(environment: Mapping[str, str]) -> None:
    """Put the chosen sets in the place of the catalog's, for every file that is loaded from here on.

    Tables, words, OpenAPI and catalog of the report are made from the catalog when their files are loaded.
    """
    if environment.get("WORKER_SETS"):
        catalog.SETS = sets_named(environment["WORKER_SETS"])
