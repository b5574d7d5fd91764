"""Distinct sessions and users of many hour rows: an SQL aggregate that merges their sketches."""

from __future__ import annotations

from pipeline.sketch import Sketch

# What sketch_count says where a row has no sketch of the sessions that it counted.
UNKNOWN = -1


class SketchCount:
    """SQL aggregate: sketches, each with the sessions that its row counted, become the number of distinct ones."""

    def __init__(self) -> None:
        """Begin with none."""
        self._sketch = Sketch()
        self._is_known = True

    def step(self, packed: bytes | None, sessions: int) -> None:
        """Merge one row's."""
        if packed is not None:
            self._sketch.merge(packed)
        elif sessions:
            self._is_known = False

    def finalize(self) -> int:
        """Return how many there were; UNKNOWN where a row did not say."""
        return self._sketch.count() if self._is_known else UNKNOWN
