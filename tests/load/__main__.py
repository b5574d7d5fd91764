"""`python -m tests.load [bench ...]`: run the benches, print one table, write build/bench.json."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.load import table
from tests.load.measure import ContenderFailedError
from tests.load.session import BUILD, Session

BENCHES = ("worker", "sets", "ingest", "flat", "start", "bytes", "freshness", "report", "verify")


def options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="bench", help=f"of {', '.join(BENCHES)}; none: all")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="the same, for make: ONLY=name")
    parser.add_argument("--quick", action="store_true", help="a quarter of the beacons, seconds instead of minutes")
    parser.add_argument("--runs", type=int, default=0, help="alternating runs of each contender (5; quick: 1)")
    parser.add_argument("--out", type=Path, default=BUILD / "bench.json")
    parser.add_argument("--folder", type=Path, default=BUILD / "bench", help="emptied at the start")
    chosen = parser.parse_args(words)
    chosen.benches = [*chosen.benches, *chosen.only] or list(BENCHES)
    unknown = [name for name in chosen.benches if name not in BENCHES]
    if unknown:
        parser.error(f"no bench {unknown[0]!r}; there are {', '.join(BENCHES)}")
    return chosen


def main(words: list[str]) -> int:
    chosen = options(words)
    # Contenders run in folders of their own.
    chosen.folder = chosen.folder.resolve()
    # Told to end, it takes its Kafka and its contenders with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(chosen.folder, ignore_errors=True)
    chosen.folder.mkdir(parents=True)
    load = os.getloadavg()[0]
    if load > 1:
        print(f"{load:.1f} other processes want a core: trust ratios of CPU time only, and no latency")
    session = Session(chosen.folder, chosen.runs or (1 if chosen.quick else 5), chosen.quick)
    failed = []
    try:
        for name in chosen.benches:
            session.say(f"bench {name}")
            try:
                importlib.import_module(f"tests.load.benches.{name}").bench(session)
            except (ContenderFailedError, OSError, subprocess.SubprocessError) as failure:
                failed.append(f"{name}: {failure}")
                session.say(failed[-1])
            session.unload()
    finally:
        session.stop()
        said = {"benches": chosen.benches, "quick": chosen.quick, "runs": session.runs, "failed": failed, "load": load}
        table.write(session.rows, chosen.out, said)
    print()
    print(table.markdown(session.rows))
    print()
    print(", ".join(f"{name} {value}" for name, value in table.machine().items()))
    missed = [row for row in session.rows if row.met() is False]
    print(f"{len(missed)} goals missed, {len(failed)} benches without a figure; all in {chosen.out}")
    for line in failed:
        print(line)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
