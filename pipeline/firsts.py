"""First sightings of sessions since the last checkpoint, by window: what the cells cannot say."""

from __future__ import annotations

from pipeline.windows import HOUR_S, Cells, Counts, RowId, Shape, merge, spread

# By name of a sketch, the hashes that it is to take in; some may come twice.
Hashes = dict[str, list[int]]
# By index of the window, its start and values of all dimensions in use.
Seen = dict[tuple[int, int, tuple[str, ...]], Hashes]


class Firsts:
    """First sightings, collected event by event and rolled up once a checkpoint."""

    def __init__(self, windows: int) -> None:
        """Start with none."""
        self._by_window: list[Cells] = [{} for _ in range(windows)]
        self._peaks: Cells = {}
        self._corrections: dict[RowId, Counts] = {}
        self._seen: Seen = {}

    def add(self, window: int, start: int, values: tuple[str, ...], name: str) -> None:
        """Count a session in a window."""
        cell = self._by_window[window].setdefault((start, values), {})
        cell[name] = cell.get(name, 0) + 1

    def add_peak(self, hour: int, values: tuple[str, ...], name: str) -> None:
        """Count a session of the audience of one finest window, in its hour's row."""
        cell = self._peaks.setdefault((hour, values), {})
        cell[name] = cell.get(name, 0) + 1

    def add_seen(self, window: int, start: int, values: tuple[str, ...], name: str, one: int) -> None:
        """Put a hash into the sketch of this name in a window; again, as often as you like."""
        self._seen.setdefault((window, start, values), {}).setdefault(name, []).append(one)

    def take_back(self, row_id: RowId, name: str) -> None:
        """Take one back in one row."""
        counts = self._corrections.setdefault(row_id, {})
        counts[name] = counts.get(name, 0) - 1

    def roll_up(self, added: dict[RowId, Counts], shape: Shape) -> None:
        """Add them to what cells add to the rows."""
        for index, level in enumerate(self._by_window):
            spread(added, level, shape, index)
        hour = shape.index_of(HOUR_S)
        if hour is not None and self._peaks:
            spread(added, self._peaks, shape, hour, peaks_only=True)
        for row_id, counts in self._corrections.items():
            if row_id in added:
                merge(added[row_id], counts)

    def sketched(self, shape: Shape) -> dict[RowId, Hashes]:
        """Return what is to go into the sketches of each row."""
        rows: dict[RowId, Hashes] = {}
        for number, kept in enumerate(shape.sets):
            if not kept.sketched:
                continue
            for (index, start, values), hashes in self._seen.items():
                if index in kept.sketched:
                    row = rows.setdefault((index, number, start, kept.project(values)), {})
                    for name, some in hashes.items():
                        row.setdefault(name, []).extend(some)
        return rows
