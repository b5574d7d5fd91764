"""The rows of the one table that a bench run prints, as Markdown, and the same as JSON with versions and machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
import timeit
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("aiohttp", "confluent-kafka", "faust-streaming", "msgspec", "orjson", "rocksdict", "uvloop")


@dataclass(frozen=True, slots=True)
class Goal:
    """The bound a figure has to keep: at most, or at least."""

    at_most: float | None = None
    at_least: float | None = None

    def met(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        bench: which bench it belongs to.
        what: contender and conditions.
        value: the measured figure, with its unit.
        wall: the wall clock beside it, where CPU is the figure.
        ratio: of something else in the same run; `of` says of what.
        goal: the bound on the ratio if there is one, else on the value.
        note: anything a reader must know.
    """

    bench: str
    what: str
    value: float
    unit: str
    wall: str = ""
    ratio: float | None = None
    of: str = ""
    goal: Goal | None = None
    note: str = ""

    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.goal.met(self.value if self.ratio is None else self.ratio)


def markdown(rows: list[Row]) -> str:
    """Return the table."""
    cells = [("bench", "what", "figure", "wall", "ratio", "goal", "met", "note")]
    cells.append(("---",) * 8)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} × {row.of}"
        met = {None: "", True: "yes", False: "**no**"}[row.met()]
        goal = "" if row.goal is None else str(row.goal)
        cells.append((row.bench, row.what, f"{row.value:,.4g} {row.unit}", row.wall, ratio, goal, met, row.note))
    widths = [max(len(line[column]) for line in cells) for column in range(8)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    )


def machine() -> dict[str, str]:
    """Return what the figures depend on: processor, memory, kernel, versions."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    found = {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "processor": f"{os.cpu_count()} × {cpu.partition(': ')[2]}",
        "memory": f"{memory} GiB",
        "system": platform.platform(),
        "python": f"{platform.python_version()}, {loop_ms():.0f} ms for a million turns",
    }
    for name, command in (("java", ["java", "-version"]), ("node", ["node", "--version"])):
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        found[name] = (said.stdout or said.stderr).splitlines()[0]
    return found | {package: version(package) for package in PACKAGES}


def loop_ms() -> float:
    """Return how long this Python takes for a million turns of a plain loop, in milliseconds: the best of five.

    Builds of one version differ by 2.7 x in it on one machine (measured): those of distributions and of the official
    image were optimised by profiles, those compiled with `configure` alone were not.
    """
    return min(timeit.repeat("sum(range(1_000_000))", number=1, repeat=5)) * 1000


def write(rows: list[Row], path: Path, options: dict[str, object]) -> None:
    """Write the run as JSON."""
    listed = [asdict(row) | {"met": row.met()} for row in rows]
    path.write_text(json.dumps({"machine": machine(), "options": options, "rows": listed}, indent=1))
