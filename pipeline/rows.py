"""The rows of one partition: kept decoded while they are busy, read from the store when they come back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.store import Store
from pipeline.windows import OTHER, Cells, Row, RowId, Shape, is_expired, merge, read_row, roll_up, row_key

# How many entry rows a partner's window has in this partition: kept in the partner's row, it survives with it.
ENTRY_ROWS = "entryRows"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a line counts and how, the same for all its partitions.

    Attributes:
        shape: windows and sets kept.
        by_pair: identity is the bare pair. dedupe_horizon_s: a repeat later than this counts again.
        max_entries: entry rows per partner and window in one partition; further entries share one row.
        cache_rows: rows kept decoded in memory, per partition.
    """

    shape: Shape
    by_pair: bool = False
    dedupe_horizon_s: int = 86_400
    max_entries: int = 50_000
    cache_rows: int = 25_000


@dataclass(slots=True)
class Applied:
    """What cells did to rows.

    Attributes:
        touched: the rows that changed.
        expired: additions that came after their window's retention, and were left out.
    """

    touched: dict[RowId, Row] = field(default_factory=dict)
    expired: int = 0


class Rows:
    """Adds cells to rows; a new entry over its partner's bound goes to the row of all others."""

    def __init__(self, partition: int, store: Store, rules: Rules) -> None:
        """Start with none in memory."""
        self._partition = partition
        self._store = store
        self._rules = rules
        self._rows: dict[RowId, Row] = {}

    def apply(self, cells: Cells, offset: int, now_s: float) -> Applied:
        """Add cells, which hold every record up to `offset` that their rows do not have yet, to their rows.

        Args:
            cells: what was folded.
            offset: of the last record in them.
            now_s: the line's own time, Unix seconds: what expired before it is left out.
        """
        applied = Applied()
        added = roll_up(cells, self._rules.shape)
        self._load(added)
        windows = self._rules.shape.windows
        for row_id, counts in added.items():
            if is_expired(windows[row_id[0]], row_id[1], now_s):
                applied.expired += 1
                continue
            row = self._row(row_id)
            # Only after a torn checkpoint does a row include a record that the position does not.
            if row.offset < offset or row.id in applied.touched:
                merge(row.counts, counts)
                row.offset = offset
                applied.touched[row.id] = row
        return applied

    def held(self, row_ids: Iterable[RowId]) -> dict[RowId, Row]:
        """Return rows as they are now, without those that are no more."""
        row_ids = list(row_ids)
        self._load(row_ids)
        return {row_id: self._rows[row_id] for row_id in row_ids if row_id in self._rows}

    def forget(self, now_s: float) -> None:
        """Give memory back; call it only when every touched row is in the store."""
        windows = self._rules.shape.windows
        if len(self._rows) > self._rules.cache_rows:
            self._rows = {}
        else:
            self._rows = {
                row_id: row
                for row_id, row in self._rows.items()
                if not is_expired(windows[row_id[0]], row_id[1], now_s)
            }

    @property
    def is_full(self) -> bool:
        """Tell whether more rows are in memory than the rules allow."""
        return len(self._rows) > self._rules.cache_rows

    def _row(self, row_id: RowId) -> Row:
        row = self._rows.get(row_id)
        if row is not None:
            return row
        index, start, partner, entry = row_id
        if entry not in ("", OTHER) and self._rules.shape.partner_rows:
            partner_row = self._row((index, start, partner, ""))
            entry_rows = partner_row.counts.get(ENTRY_ROWS, 0)
            if entry_rows >= self._rules.max_entries:
                other = (index, start, partner, OTHER)
                self._load([other])
                return self._row(other)
            partner_row.counts[ENTRY_ROWS] = entry_rows + 1
        row = self._rows[row_id] = Row(row_id, row_key(row_id, self._rules.shape.windows, self._partition))
        return row

    def _load(self, row_ids: Iterable[RowId]) -> None:
        """Bring the rows that the store holds into memory."""
        windows, rows = self._rules.shape.windows, self._rows
        missing = [row_id for row_id in row_ids if row_id not in rows]
        keys = [row_key(row_id, windows, self._partition) for row_id in missing]
        places = [(windows[row_id[0]].seconds, row_id[1], key) for row_id, key in zip(missing, keys, strict=True)]
        for row_id, key, value in zip(missing, keys, self._store.rows(places), strict=True):
            if value is not None:
                rows[row_id] = read_row(row_id, key, value)
