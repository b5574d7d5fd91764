"""python -m tests.chaos.unguarded worker: a worker that takes the end of its changelog as it is.

Guard 2 is off: no batch is held against its position row, and a mark is a mark, even an event's own that a torn
batch left behind. It proves that the tests of late messages would see what the guard is for.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from pipeline.batch import Position
from pipeline.partition import Partition
from pipeline.tail import Tail, Verdict


def _believe(self: Tail, stored: Position | None) -> Verdict:
    return Verdict(self._position or stored or Position())


_known = Partition._known


def _known_from_anywhere(self: Partition, *asked: Any) -> dict[bytes, tuple[int, int]]:
    return {identity: (-1, seconds) for identity, (_, seconds) in _known(self, *asked).items()}


if __name__ == "__main__":
    Tail.verdict = _believe  # type: ignore[method-assign]
    Partition._known = _known_from_anywhere  # type: ignore[method-assign]
    sys.argv[0] = "pipeline"
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
