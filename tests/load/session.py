"""What the benches of one run share: the broker, the loaded topics, the folder, the rows of the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.load import broker as kafka
from tests.load.dataset import Shape
from tests.load.load import Loaded, load
from tests.load.measure import Run, median
from tests.load.table import Row

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
PARTITIONS = 4


@dataclass(slots=True)
class Session:
    """One run of the benches."""

    folder: Path
    runs: int
    quick: bool
    rows: list[Row] = field(default_factory=list)
    started_ms: int = field(default_factory=lambda: int(time.time() - 900) // 60 * 60_000)
    _broker: kafka.Broker | None = None
    _loaded: dict[tuple[Shape, int], Loaded] = field(default_factory=dict)
    _names: int = 0

    @property
    def broker(self) -> kafka.Broker:
        """The broker of this run, started when it is first asked for."""
        if self._broker is None:
            self._broker = kafka.start(self.folder / "kafka")
        return self._broker

    def stop(self) -> None:
        if self._broker is not None:
            self._broker.stop()

    def loaded(self, shape: Shape, packings: tuple[int, ...] = (12,), codec: str = "lz4") -> list[Loaded]:
        """Return topics full of this shape's beacons, one a packing; filled once a run."""
        shape = replace(shape, start_ms=self.started_ms)
        missing = [packed for packed in packings if (shape, packed) not in self._loaded]
        if missing:
            self.say(f"loading {shape.beacons:,} beacons at {missing} a record")
            for one in load(self.broker, self.folder, shape, missing, PARTITIONS, codec):
                self._loaded[shape, one.packed] = one
        return [self._loaded[shape, packed] for packed in packings]

    def unload(self) -> None:
        """Delete the loaded topics: their files would fill the disk."""
        if self._loaded:
            kafka.delete(self.broker, [one.topic for one in self._loaded.values()])
        self._loaded.clear()

    def name(self, prefix: str) -> str:
        """Return a name that nothing else of this run has."""
        self._names += 1
        return f"{prefix}{self._names}"

    def log(self, name: str) -> Path:
        """Return the file that takes a process's own lines."""
        return self.folder / f"{name}.log"

    def say(self, line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, flush=True)

    def add(self, row: Row) -> None:
        self.rows.append(row)

    def alternate(self, contenders: dict[str, Callable[[], Run]], most: int | None = None) -> dict[str, Run]:
        """Run all contenders in turn, `runs` times, or `most` if that is fewer; return the median of each."""
        taken: dict[str, list[Run]] = {name: [] for name in contenders}
        runs = min(self.runs, most or self.runs)
        for turn in range(runs):
            for name, contend in contenders.items():
                run = contend()
                taken[name].append(run)
                self.say(
                    f"{turn + 1}/{runs} {name}: {run.cpu_us:.2f} µs CPU, {run.wall_us:.2f} µs wall a beacon, "
                    f"{run.whole_cpu_s:.1f} s CPU in all, {run.peak_mib:.0f} MiB"
                )
        return {name: median(runs) for name, runs in taken.items()}
