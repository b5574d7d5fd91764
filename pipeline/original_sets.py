"""The dimension sets that the original ran (features.md section 3), ready to be kept: WORKER_SETS names them. Pure.

42 by its count. Partner and entry are lines of the catalog, whose peaks are its "peak audience per partner". The two
by category are not here: no beacon carries one, it was asked of the vendor's API for each entry; what a beacon does
carry is playbackContext. The original kept 10 s for 7 days, minutes for 180, hours for ever: that is `keep_seconds` of
the catalog's windows. It counted an event in sets of a custom variable, a context or an application only where it
carries one, and so do these.
"""

from __future__ import annotations

from pipeline.catalog import SETS
from pipeline.kinds import DimensionSet, by

FINE, USUAL, COARSE = "10s 1m 1h", "1m 1h", "1h"

ORIGINAL_SETS: tuple[DimensionSet, ...] = (
    *(one for one in SETS if one.name in ("partner", "entry")),
    by("originalCountry", "country", windows=FINE, most=300),
    by("originalEntryCountry", "entryId", "country", windows=FINE, most=50_000),
    by("originalCity", "country", "city", windows=FINE, most=20_000),
    by("originalEntryCity", "entryId", "country", "city", windows=FINE, most=50_000),
    by("originalDomain", "domain", windows=FINE, most=5_000),
    by("originalEntryDomain", "entryId", "domain", windows=FINE, most=50_000),
    by("originalApplication", "application", windows=FINE, carried=True, most=1_000),
    by("originalEntryApplication", "entryId", "application", windows=FINE, carried=True, most=50_000),
    by("originalBrowser", "browser", windows=USUAL, most=1_000),
    by("originalEntryBrowser", "entryId", "browser", windows=USUAL, most=50_000),
    by("originalSystem", "operatingSystem", windows=USUAL, most=1_000),
    by("originalEntrySystem", "entryId", "operatingSystem", windows=USUAL, most=50_000),
    by("originalSystemBrowser", "operatingSystem", "browser", windows=USUAL, most=2_000),
    by("originalEntrySystemBrowser", "entryId", "operatingSystem", "browser", windows=USUAL, most=50_000),
    by("originalDevice", "device", windows=USUAL, most=100),
    by("originalEntryDevice", "entryId", "device", windows=USUAL, most=50_000),
    by("originalDeviceSystem", "device", "operatingSystem", windows=USUAL, most=1_000),
    by("originalEntryDeviceSystem", "entryId", "device", "operatingSystem", windows=USUAL, most=50_000),
    by("originalCountrySystem", "country", "operatingSystem", windows=USUAL, most=10_000),
    by("originalCountryBrowser", "country", "browser", windows=USUAL, most=10_000),
    by("originalCountrySystemBrowser", "country", "operatingSystem", "browser", windows=USUAL, most=20_000),
    by("originalContext", "playbackContext", windows=USUAL, carried=True, most=5_000),
    by("originalEntryContext", "entryId", "playbackContext", windows=USUAL, carried=True, most=50_000),
    by("originalApplicationContext", "application", "playbackContext", windows=USUAL, carried=True, most=5_000),
    by("originalEntryApplicationContext", "entryId", "application", "playbackContext", windows=USUAL, carried=True),
    by("originalVar1", "customVar1", windows=USUAL, carried=True, most=10_000),
    by("originalEntryVar1", "entryId", "customVar1", windows=USUAL, carried=True, most=50_000),
    by("originalVar2", "customVar2", windows=USUAL, carried=True, most=10_000),
    by("originalEntryVar2", "entryId", "customVar2", windows=USUAL, carried=True, most=50_000),
    by("originalVar3", "customVar3", windows=USUAL, carried=True, most=10_000),
    by("originalEntryVar3", "entryId", "customVar3", windows=USUAL, carried=True, most=50_000),
    by("originalVars12", "customVar1", "customVar2", windows=USUAL, carried=True, most=20_000),
    by("originalEntryVars12", "entryId", "customVar1", "customVar2", windows=USUAL, carried=True, most=50_000),
    by("originalVars123", "customVar1", "customVar2", "customVar3", windows=USUAL, carried=True, most=20_000),
    by("originalEntryVars123", "entryId", "customVar1", "customVar2", "customVar3", windows=USUAL, carried=True),
    by("originalReferrer", "domain", "page", windows=COARSE, most=20_000),
    by("originalEntryReferrer", "entryId", "domain", "page", windows=COARSE, most=50_000),
)
