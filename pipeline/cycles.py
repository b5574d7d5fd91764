"""How often Python looks for cycles of objects that nobody holds any more: rarely, where beacons and rows are carried.

What a beacon or a row is made into goes as soon as nobody holds it. By default every 700 new objects start a search,
and the searches walk all rows, marks and sessions that are kept, none of which lie in a cycle. Left out, judging and
folding cost 30 % less with the default sets, checkpoints 20 % and the report's reading of rows 17 % (measured).
"""

from __future__ import annotations

import gc

# So many more objects than before start a search of the new ones, which takes 30 ms; ten of those one of the older
# ones, ten of these one of all. There are cycles: each connection to a health page leaves asyncio's transport in one,
# 8 objects and 2 kB, so 25 MB of them at most.
THRESHOLDS = (100_000, 10, 10)


def search_rarely() -> None:
    """Search rarely from now on, and never in what is there already: modules, settings."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
