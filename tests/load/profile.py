"""`python -m tests.load.profile`: where a worker's time goes on the job's beacons, by py-spy.

Writes build/profile.folded (speedscope and flamegraph tools open it) and build/profile.txt (functions by own time and
with all below them). Time of librdkafka's and RocksDB's own threads is no Python: the whole process's CPU is beside.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from deploy.local.kafka import free_port
from tests.load import broker as kafka
from tests.load import ours
from tests.load.dataset import Shape
from tests.load.measure import cpu_seconds
from tests.load.session import BUILD, ROOT, Session

SHAPE = Shape(sessions=50_000)
SHOWN = 40
# On a busy machine py-spy takes a thread that waits for one that works.
WAITING = ("_worker (concurrent/futures/thread.py", "EpollSelector.select (selectors.py", "wait (threading.py")
LINE = re.compile(r":\d+\)$")
PER_SECOND = 250


def record(session: Session, settings: dict[str, str], packed: int, out: Path) -> float:
    """Let a worker count under py-spy; write folded stacks; return its CPU µs per beacon."""
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{Path('/usr/local/bin')}")
    if spy is None:
        raise SystemExit("profile needs py-spy: pip install py-spy")
    (loaded,) = session.loaded(SHAPE, (packed,))
    prefix, port = session.name("profile-"), free_port()
    with ours.process(
        session, ["pipeline", "worker"], prefix, settings | {"WORKER_PORT": str(port)}, "worker"
    ) as running:
        ours.wait_ready(running, port)
        before = ours.idle_cpu_seconds(running.pid)
        words = ["--format", "raw", "--rate", str(PER_SECOND), "--threads", "--output", str(out)]
        spying = subprocess.Popen(
            [spy, "record", *words, "--pid", str(running.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(1)
        copy = ["-m", "tests.load.copy", session.broker.bootstrap, loaded.topic, prefix + "beacons"]
        with subprocess.Popen([sys.executable, *copy], cwd=ROOT):
            ends = kafka.end_offsets(session.broker, loaded.topic)
            ours.watch_positions(session, prefix, ends, running)
        used = cpu_seconds(running.pid) - before
    spying.wait(60)
    return used / loaded.beacons * 1e6


def summary(folded: str) -> str:
    """Return functions by their own samples and by the samples of all below them."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    total = 0
    for line in folded.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = [LINE.sub(")", frame) for frame in stack.split(";")]
        if frames[-1].startswith(WAITING):
            continue
        total += int(number)
        own[frames[-1]] += int(number)
        for frame in set(frames):
            below[frame] += int(number)
    lines = []
    for title, counted in (("own time", own), ("with all below", below)):
        lines.append(f"{title}, of {total} samples")
        lines += [f"{100 * number / total:6.1f} %  {frame}" for frame, number in counted.most_common(SHOWN)]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.profile", description=__doc__)
    parser.add_argument("--packed", type=int, default=12, help="beacons a record")
    parser.add_argument("--real", action="store_true", help="the whole catalog instead of the job's part")
    parser.add_argument("--folder", type=Path, default=BUILD / "profile")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.folder, ignore_errors=True)
    chosen.folder.mkdir(parents=True)
    session = Session(chosen.folder, runs=1, quick=False)
    folded = BUILD / "profile.folded"
    try:
        cost = record(session, {} if chosen.real else ours.JOB, chosen.packed, folded)
    finally:
        session.stop()
    text = f"{cost:.1f} µs CPU a beacon under py-spy, all threads\n\n{summary(folded.read_text())}"
    (BUILD / "profile.txt").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
