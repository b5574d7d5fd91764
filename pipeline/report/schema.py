"""The read model's tables, derived from the catalog: one per dimension set and window."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pipeline.catalog import DISTINCT, METRICS, SETS, WINDOWS, DimensionSet, Window
from pipeline.windows import HOUR_S

# Raised by hand when a table changes in a way that the catalog does not show, or when files may lack rows: those of
# layout 1 may lack whole checkpoints that came beside a large one.
LAYOUT = 2

METRIC_NAMES: tuple[str, ...] = tuple(metric.name for metric in METRICS)
SLOTS = "slots"


def sketch_column(name: str) -> str:
    """Return the column of a sketch of the catalog."""
    return f"sketch_{name}"


def block_seconds(window: Window) -> int:
    """Return the length of a block: 60 windows, an hour at most, a window at least.

    A table is ordered by block, then dimensions, then start. So one entry's two hours are three short
    scans, and all entries of one hour are one: neither question reads what the other one needs.
    """
    return max(window.seconds, min(60 * window.seconds, 3600))


# Told apart by being one of TABLES: as keys of a dict that costs a tenth of comparing their words.
@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Where the rows of one dimension set and window are kept.

    Attributes:
        name: made of catalog words only.
        dimensions: its dimension columns, in key order.
        window: the window of its rows.
        block: length of a block in seconds.
        more: columns behind the metrics that hold bytes, or NULL: slots (pipeline.report.slots), sketches.
    """

    name: str
    dimensions: tuple[str, ...]
    window: Window
    block: int
    more: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """Return the primary key's columns."""
        return ("block", *self.dimensions, "start", "part")

    def create(self) -> str:
        """Return the statement that creates it."""
        texts = "".join(f'"{name}" TEXT NOT NULL, ' for name in self.dimensions)
        sums = "".join(f'"{name}" INTEGER NOT NULL, ' for name in METRIC_NAMES)
        more = "".join(f'"{name}" BLOB, ' for name in self.more)
        key = ", ".join(f'"{name}"' for name in self.key)
        return (
            f'CREATE TABLE "{self.name}" (block INTEGER NOT NULL, {texts}start INTEGER NOT NULL, '
            f"part INTEGER NOT NULL, {sums}{more}PRIMARY KEY ({key})) WITHOUT ROWID"
        )

    def upsert(self) -> str:
        """Return the statement that puts one row: key columns, then every metric, then what there is more."""
        marks = ", ".join("?" * (len(self.key) + len(METRIC_NAMES) + len(self.more)))
        return f'INSERT OR REPLACE INTO "{self.name}" VALUES ({marks})'

    def delete(self) -> str:
        """Return the statement that removes one row by its key."""
        where = " AND ".join(f'"{name}" = ?' for name in self.key)
        return f'DELETE FROM "{self.name}" WHERE {where}'


def table_of(dimensions: DimensionSet, window: Window) -> Table:
    """Return the table of this set and window."""
    slots = (SLOTS,) if dimensions.peaks and window.seconds == HOUR_S else ()
    sketches = tuple(sketch_column(one.name) for one in DISTINCT) if dimensions.sketched(window) else ()
    name, block = f"rows_{dimensions.name}_{window.name}", block_seconds(window)
    return Table(name, dimensions.dimensions, window, block, slots + sketches)


TABLES: dict[tuple[str, str], Table] = {
    (dimensions.name, window.name): table_of(dimensions, window)
    for dimensions in SETS
    for window in WINDOWS
    if dimensions.keeps(window)
}

OTHER_TABLES: tuple[str, ...] = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE progress (part INTEGER PRIMARY KEY, next INTEGER NOT NULL)",
    'CREATE TABLE position (part INTEGER PRIMARY KEY, "offset" INTEGER NOT NULL, '
    "time INTEGER NOT NULL, ledger TEXT NOT NULL, topic TEXT NOT NULL)",
)


def statements() -> tuple[str, ...]:
    """Return every statement that makes an empty read model."""
    return (*OTHER_TABLES, *(table.create() for table in TABLES.values()))


def version() -> str:
    """Return a digest of the tables: a file that carries another one is built again."""
    text = "\n".join((str(LAYOUT), *statements()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
