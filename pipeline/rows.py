"""The rows of one partition: kept decoded while they are busy, read from the store when they come back."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.catalog import DIMENSIONS, DISTINCT, METRICS, Metric
from pipeline.dimensions import Enrichment
from pipeline.event import EventReader
from pipeline.firsts import Hashes
from pipeline.sketch import grown
from pipeline.store import Store
from pipeline.windows import (
    SKETCH,
    Counts,
    Row,
    RowId,
    Shape,
    expired_before,
    is_expired,
    keys_begin,
    merge,
    read_row,
    row_id_of,
    row_key,
)

# Tombstones per checkpoint, or twice its rows if that is more: retention never holds a checkpoint up for long, and is
# never slower than rows come.
MOST_EXPIRED = 2_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What a line counts and how, the same for all its partitions.

    Attributes:
        shape: windows and sets kept.
        metrics: counted. enrichment: what gives the dimensions that have to be looked up.
        by_pair: identity is the bare pair. dedupe_horizon_s: a repeat later than this counts again.
        max_entries: rows of a set per partner and window in one partition, at most; further ones share one row.
        cache_rows: rows kept decoded in memory, per partition.
    """

    shape: Shape
    metrics: tuple[Metric, ...] = METRICS
    enrichment: Enrichment | None = None
    by_pair: bool = False
    dedupe_horizon_s: int = 86_400
    max_entries: int = 50_000
    cache_rows: int = 25_000

    def reader(self) -> EventReader:
        """Return what reads beacon lines by these rules."""
        named = {dimension.name: dimension for dimension in DIMENSIONS}
        dimensions = [named[name] for name in self.shape.dimensions[2:]]
        return EventReader(self.metrics, dimensions, self.enrichment, self.by_pair)


@dataclass(slots=True)
class Applied:
    """What cells did to rows.

    Attributes:
        touched: the rows that changed.
        expired: additions that came after their window's retention, and were left out.
    """

    touched: dict[RowId, Row] = field(default_factory=dict)
    expired: int = 0


@dataclass(slots=True)
class _Healing:
    """What is known while rows differ in what they include.

    Attributes:
        recounted: the partners' rows that know again how many rows each set has.
        held: the rows in memory by window, set, start and partner: a recount must not look through all of them.
    """

    recounted: set[RowId] = field(default_factory=set)
    held: dict[tuple[int, int, int, str], set[RowId]] = field(default_factory=dict)

    @classmethod
    def of(cls, row_ids: Iterable[RowId]) -> _Healing:
        """Begin with these rows in memory."""
        healing = cls()
        for row_id in row_ids:
            healing.hold(row_id)
        return healing

    def hold(self, row_id: RowId) -> None:
        """Take notice of a row that came into memory."""
        index, number, start, values = row_id
        self.held.setdefault((index, number, start, values[0]), set()).add(row_id)


class Rows:
    """Adds cells to rows; a new entry over its partner's bound goes to the row of all others."""

    def __init__(self, partition: int, store: Store, rules: Rules) -> None:
        """Start with none in memory."""
        self._partition = partition
        self._store = store
        self._rules = rules
        self._shape = rules.shape
        self._partner_set = rules.shape.partner_set
        self._rows: dict[RowId, Row] = {}
        self._healing: _Healing | None = None

    def apply(
        self,
        added: dict[RowId, Counts],
        seen: dict[RowId, Hashes],
        offset: int,
        now_s: float,
        is_healing: bool = False,
    ) -> Applied:
        """Add what cells were rolled up to, every record up to `offset` in them, to the rows.

        Args:
            added: by row.
            seen: by row, what goes into its sketches; such a row is in `added` too.
            offset: of the last record in them.
            now_s: the line's own time, Unix seconds: what expired before it is left out.
            is_healing: rows differ in what they include.
        """
        applied = Applied()
        self._healing = (self._healing or _Healing.of(self._rows)) if is_healing else None
        keys = self._load(added)
        # Of each window once, not of each row.
        ended = [expired_before(window, now_s) for window in self._shape.windows]
        for row_id, counts in added.items():
            if row_id[2] < ended[row_id[0]]:
                applied.expired += 1
                continue
            row = self._rows.get(row_id) or self._begun(row_id, keys.get(row_id))
            # Only after a torn checkpoint does a row include a record that the position does not.
            if row.offset < offset or row.id in applied.touched:
                if self._healing is not None and row_id[1] == self._partner_set:
                    self._recount(row, self._healing)
                if row_id in seen:
                    _sketch(row, seen[row_id])
                elif row.sketches and row.id[0] not in self._shape.sets[row.id[1]].sketched:
                    # Its set keeps sketches here no more: one that misses what came since would say too little.
                    row.sketches = {}
                merge(row.counts, counts)
                row.offset = offset
                applied.touched[row.id] = row
        return applied

    def held(self, row_ids: Iterable[RowId]) -> dict[RowId, Row]:
        """Return rows as they are now, without those that are no more."""
        row_ids = list(row_ids)
        self._load(row_ids)
        return {row_id: self._rows[row_id] for row_id in row_ids if row_id in self._rows}

    def expired(self, written: int, now_s: float) -> list[bytes]:
        """Return the keys of rows to take away beside so many written ones, at the line's own time (Unix seconds).

        Coarse windows first, which have few: each window has its share, and what one leaves is for the finer ones.
        """
        found: list[bytes] = []
        most, windows = max(MOST_EXPIRED, 2 * written), self._shape.windows
        for left, window in zip(range(len(windows), 0, -1), reversed(windows), strict=True):
            before = int(now_s) - window.seconds - window.keep_seconds
            if before > 0:
                share = -(-(most - len(found)) // left)
                found += self._store.oldest_rows(window.seconds, before, share)
        return found

    def forget(self, now_s: float) -> None:
        """Give memory back; call it only when every touched row is in the store."""
        windows = self._shape.windows
        if len(self._rows) > self._rules.cache_rows:
            self._rows = {}
        else:
            self._rows = {
                row_id: row
                for row_id, row in self._rows.items()
                if not is_expired(windows[row_id[0]], row_id[2], now_s)
            }

    @property
    def is_full(self) -> bool:
        """Tell whether more rows are in memory than the rules allow."""
        return len(self._rows) > self._rules.cache_rows

    def _begun(self, row_id: RowId, key: bytes | None = None) -> Row:
        """Return a new row, or the row of all others if there are too many; `key` is its key if that is known."""
        index, number, start, values = row_id
        kept = self._shape.sets[number]
        if self._partner_set is not None and number != self._partner_set and values[1:] != kept.others:
            # How many rows a set has in a partner's window is kept in the partner's row: it survives with it.
            partner_id = (index, self._partner_set, start, values[:1])
            partner_row = self._rows.get(partner_id) or self._begun(partner_id)
            if self._healing is not None:
                self._recount(partner_row, self._healing)
            rows = partner_row.counts.get(kept.rows_name, 0)
            if rows >= min(kept.set.most, self._rules.max_entries):
                other = (index, number, start, (values[0], *kept.others))
                self._load([other])
                return self._rows.get(other) or self._begun(other)
            partner_row.counts[kept.rows_name] = rows + 1
        row = self._rows[row_id] = Row(row_id, key or row_key(row_id, self._shape, self._partition))
        if self._healing is not None:
            self._healing.hold(row_id)
        return row

    def _recount(self, partner_row: Row, healing: _Healing) -> None:
        """While healing, count each set's rows once: partner row and rows may be of different checkpoints."""
        if partner_row.id in healing.recounted:
            return
        healing.recounted.add(partner_row.id)
        index, _, start, values = partner_row.id
        for number, kept in enumerate(self._shape.sets):
            if number == self._partner_set or index not in kept.windows:
                continue
            begin = keys_begin((index, number, start, values), self._shape)
            keys = self._store.row_keys(self._shape.windows[index].seconds, start, begin)
            there = {row_id_of(key, self._shape) for key in keys}
            there |= healing.held.get((index, number, start, values[0]), set())
            partner_row.counts[kept.rows_name] = sum(one is not None and one[3][1:] != kept.others for one in there)

    def _load(self, row_ids: Iterable[RowId]) -> dict[RowId, bytes]:
        """Bring the rows that the store holds into memory; return the keys of those that are nowhere yet."""
        shape, rows = self._shape, self._rows
        missing = [row_id for row_id in row_ids if row_id not in rows]
        keys = [row_key(row_id, shape, self._partition) for row_id in missing]
        places = [(shape.windows[row_id[0]].seconds, row_id[2], key) for row_id, key in zip(missing, keys, strict=True)]
        absent: dict[RowId, bytes] = {}
        for row_id, key, value in zip(missing, keys, self._store.rows(places), strict=True):
            if value is not None:
                rows[row_id] = read_row(row_id, key, value)
                if self._healing is not None:
                    self._healing.hold(row_id)
            else:
                absent[row_id] = key
        return absent


def _sketch(row: Row, hashes: Hashes) -> None:
    """Put hashes into a row's sketches; not if it counted sessions without: half a sketch would say too little."""
    begins = not row.sketches and not row.counts.get(DISTINCT[0].name)
    for name, some in hashes.items():
        before = row.sketches.get(SKETCH + name, "")
        if begins or before:
            row.sketches[SKETCH + name] = b2a_base64(grown(a2b_base64(before), some), newline=False).decode()
