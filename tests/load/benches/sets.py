"""What each dimension set costs: CPU, rows and bytes a beacon, beside partner and entry alone.

In one process and without Kafka, so that differences of a microsecond show: beacons are judged and folded, checkpoints
prepared and written to the store. What Kafka and librdkafka add is in bench `worker`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.batch import Position
from pipeline.catalog import METRICS, SETS, WINDOWS, DimensionSet
from pipeline.config import WorkerSettings
from pipeline.enrich.enrichers import Enrichers
from pipeline.original_sets import ORIGINAL_SETS
from pipeline.partition import Partition
from pipeline.rows import Rules
from pipeline.store import Store
from pipeline.windows import Shape as Kept
from tests.load.dataset import Shape, beacons, partition_of
from tests.load.session import PARTITIONS, Session
from tests.load.table import Goal, Row

UNIT = "µs CPU/beacon"
BEACONS_A_RECORD = 12
RECORDS_A_CHECKPOINT = 250
BASE = SETS[:2]
Records = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the beacons of a run cost, each."""

    cpu_us: float
    rows: float
    row_bytes: float


def records_of(shape: Shape) -> list[Records]:
    """Return the records of each partition."""
    lines: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for sent in beacons(shape):
        lines[partition_of(sent, PARTITIONS)].append(sent.line)
    starts = [range(0, len(one), BEACONS_A_RECORD) for one in lines]
    return [
        [(number, b"\n".join(one[at : at + BEACONS_A_RECORD])) for number, at in enumerate(start)]
        for one, start in zip(lines, starts, strict=True)
    ]


def cost_of(sets: Sequence[DimensionSet], logs: list[Records], number: int) -> Cost:
    """Count everything with these sets and return what a beacon cost; written rows are counted once a checkpoint."""
    rules = Rules(Kept.of(WINDOWS, tuple(sets)), METRICS, Enrichers(WorkerSettings()))
    rows = row_bytes = 0
    with tempfile.TemporaryDirectory() as folder:
        stores = [Store(Path(folder) / str(part), rules.dedupe_horizon_s) for part in range(PARTITIONS)]
        parts = [Partition(part, store, rules, Position()) for part, store in enumerate(stores)]
        began = time.process_time()
        for at in range(0, max(map(len, logs)), RECORDS_A_CHECKPOINT):
            for part, store, log in zip(parts, stores, logs, strict=True):
                part.take(log[at : at + RECORDS_A_CHECKPOINT])
                if part.is_dirty:
                    batch, places = part.prepare("bench", time.time())
                    store.apply(batch, places, {})
                    part.written(batch)
                    rows += len(batch.rows)
                    row_bytes += sum(len(key) + len(value) for key, value in batch.rows)
        used = time.process_time() - began
        for store in stores:
            store.close()
    return Cost(used / number * 1e6, rows / number, row_bytes / number)


def bench(session: Session) -> None:
    """Measure partner and entry, each other set beside them, the default dozen and all of the original's."""
    shape = Shape(sessions=3_000 if session.quick else 10_000, start_ms=session.started_ms)
    logs = records_of(shape)
    chosen: dict[str, tuple[DimensionSet, ...]] = {"partner, entry": BASE}
    chosen |= {f"+ {one.name}": (*BASE, one) for one in SETS[2:]}
    chosen |= {f"+ {one.name}": (*BASE, one) for one in ORIGINAL_SETS if one not in BASE}
    whole = {"the default dozen": SETS, "all of the original's": ORIGINAL_SETS}
    taken: dict[str, list[Cost]] = {name: [] for name in chosen | whole}
    cost_of(BASE, logs, shape.beacons)  # imports and caches
    for turn in range(session.runs):
        session.say(f"{turn + 1}/{session.runs} sets")
        for name, sets in (chosen | whole).items():
            taken[name].append(cost_of(sets, logs, shape.beacons))
    base = statistics.median(cost.cpu_us for cost in taken["partner, entry"])
    for name, costs in taken.items():
        cpu = statistics.median(cost.cpu_us for cost in costs)
        note = f"{costs[0].rows:.2f} rows, {costs[0].row_bytes:.0f} bytes of rows a beacon, before compression"
        goal = Goal(at_most=2.5) if name == "the default dozen" else None
        session.add(Row("sets", name, cpu, UNIT, "", cpu / base, "partner, entry", goal, note))
