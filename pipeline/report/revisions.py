"""Which part of the read model changed when: tells whether an answer in memory still holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

# Partner, window, first second of the block; partner None: of any partner.
Block = tuple[str, str, int]
Place = tuple[str | None, str]

# Of a place.
MOST_BLOCKS = 2000
MOST_PLACES = 50_000
# Of all places together: some 60 MB.
MOST_IN_ALL = 500_000


class Revisions:
    """The latest revision of each block, newest last."""

    def __init__(self) -> None:
        self._floor = 0
        self._floors: dict[Place, int] = {}
        self._changed: dict[Place, OrderedDict[int, int]] = {}
        self._in_all = 0

    def note(self, blocks: Iterable[Block], revision: int) -> None:
        """Remember that these blocks changed."""
        for partner, window, block in blocks:
            self._note((partner, window), block, revision)
            self._note((None, window), block, revision)
        if len(self._changed) > MOST_PLACES or self._in_all > MOST_IN_ALL:
            # Every answer of before counts as old once: rarer and simpler than to find out which blocks are oldest.
            self._changed.clear()
            self._floors.clear()
            self._in_all = 0
            self._floor = revision

    def _note(self, place: Place, block: int, revision: int) -> None:
        changed = self._changed.get(place)
        if changed is None:
            changed = self._changed[place] = OrderedDict()
        before = len(changed)
        changed[block] = revision
        changed.move_to_end(block)
        if len(changed) > MOST_BLOCKS:
            _, self._floors[place] = changed.popitem(last=False)
        self._in_all += len(changed) - before

    def changed_since(
        self, revision: int, partners: tuple[str | None, ...], window: str, since: int, until: int
    ) -> bool:
        """Tell whether anything in blocks that begin in [since, until) may have changed after a revision."""
        return any(self._place_changed(revision, (partner, window), since, until) for partner in partners)

    def _place_changed(self, revision: int, place: Place, since: int, until: int) -> bool:
        if max(self._floor, self._floors.get(place, 0)) > revision:
            return True
        changed = self._changed.get(place)
        if changed is None:
            return False
        for block in reversed(changed):
            if changed[block] <= revision:
                return False
            if since <= block < until:
                return True
        return False
