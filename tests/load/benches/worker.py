"""The worker and its peers on the same beacons: CPU per beacon, as ratios."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.load import ours
from tests.load.dataset import Shape
from tests.load.load import Loaded, same_counts
from tests.load.measure import ContenderFailedError, Run, run
from tests.load.peers import build
from tests.load.session import Session
from tests.load.table import Goal, Row

# A third more than the job's 100,000 sessions: the first beacons only warm the peers up (JIT, caches, imports).
JOB = Shape(sessions=133_334)
WARM = 200_000
QUICK_JOB = Shape(sessions=33_334)
# Quix Streams and Faust cost so much a beacon that a sample says the same in a tenth of the time.
SAMPLE = Shape(sessions=6_667)
SAMPLE_WARM = 10_000
PACKINGS = (1, 12, 50)
# Of what no goal is set for, and of what costs many times as much: no run more or less changes what is said of it.
BESIDE_RUNS = 2
UNIT = "µs CPU/beacon"
JAVA = ("java", "-Xms2g", "-Xmx2g", "-XX:+UseParallelGC")


def checked(session: Session, contend: Callable[[Path], Run], truth: Path) -> Run:
    """Run a contender and refuse its figure unless its counts are the true ones."""
    out = session.folder / "counts.json"
    out.unlink(missing_ok=True)
    taken = contend(out)
    difference = same_counts(truth, out)
    if difference:
        raise ContenderFailedError(f"{taken.name}: {difference}")
    return taken


def raw(session: Session, loaded: Loaded, warm: int, mode: str) -> Run:
    truth = loaded.truth if mode == "dedupe" else loaded.truth_with_repeats
    script = Path(__file__).parents[1] / "peers" / "raw.py"

    def contend(out: Path) -> Run:
        words = [session.broker.bootstrap, loaded.topic, str(loaded.beacons), str(out), mode]
        return run(f"raw loop, {mode}", [sys.executable, str(script), *words], warm, log=session.log("raw"))

    return checked(session, contend, truth)


def streams(session: Session, loaded: Loaded, warm: int, hops: int) -> Run:
    built = build.streams()

    def contend(out: Path) -> Run:
        state = session.folder / "streams"
        shutil.rmtree(state, ignore_errors=True)
        words = [session.broker.bootstrap, loaded.topic, session.name("streams-"), str(loaded.beacons), str(hops)]
        command = [*JAVA, "-cp", f"{built}/classes:{built}/lib/*", "Main", *words, str(state), str(out)]
        return run(f"Kafka Streams, {hops} hops", command, warm, log=session.log("streams"))

    return checked(session, contend, loaded.truth)


def python_peer(session: Session, loaded: Loaded, warm: int, name: str, python: str, *options: str) -> Run:
    script = Path(__file__).parents[1] / "peers" / f"{name}_peer.py"
    env = {"PYTHONPATH": str(build.lz4())} if name == "faust" else None

    def contend(out: Path) -> Run:
        state = session.folder / name
        shutil.rmtree(state, ignore_errors=True)
        words = [session.broker.bootstrap, loaded.topic, session.name(f"{name}-"), str(loaded.beacons)]
        command = [python, str(script), *words, str(state), str(out), *options]
        return run(name, command, warm, env, session.log(name))

    return checked(session, contend, loaded.truth)


def worker(session: Session, loaded: Loaded, settings: dict[str, str]) -> Run:
    return checked(session, lambda out: ours.count_all(session, "worker", loaded, settings, out), loaded.truth)


def bench(session: Session) -> None:
    """Measure all contenders at 1, 12 and 50 beacons a record, the slow peers on a sample."""
    shape, warm = (QUICK_JOB, 50_000) if session.quick else (JOB, WARM)
    mine: dict[int, Run] = {}
    for loaded in session.loaded(shape, PACKINGS):
        contenders: dict[str, Callable[[], Run]] = {
            "worker": functools.partial(worker, session, loaded, ours.JOB),
            "raw loop": functools.partial(raw, session, loaded, warm, "plain"),
            "Kafka Streams": functools.partial(streams, session, loaded, warm, 2),
        }
        runs = session.alternate(contenders)
        if loaded.packed == 12:
            beside = {
                "worker, real catalog": functools.partial(worker, session, loaded, {}),
                "raw loop, dedupe in a set": functools.partial(raw, session, loaded, warm, "dedupe"),
                "Kafka Streams, one hop": functools.partial(streams, session, loaded, warm, 1),
            }
            runs |= session.alternate(beside, BESIDE_RUNS)
        _rows(session, loaded.packed, runs)
        mine[loaded.packed] = runs["worker"]
    _slow(session, mine)


GOALS = {
    (12, "Kafka Streams"): Goal(at_most=0.7),
    (12, "raw loop"): Goal(at_most=2.5),
    (1, "Kafka Streams"): Goal(at_most=1.5),
}


def _rows(session: Session, packed: int, runs: dict[str, Run]) -> None:
    for name, taken in runs.items():
        note = f"{taken.peak_mib:.0f} MiB, {taken.whole_cpu_s:.1f} s CPU with start"
        what = f"{name}, {packed} a record"
        session.add(Row("worker", what, taken.cpu_us, UNIT, f"{taken.wall_us:.1f} µs", note=note))
    mine = runs["worker"]
    for other in ("Kafka Streams", "Kafka Streams, one hop", "raw loop"):
        if other not in runs:
            continue
        what = f"worker, {packed} a record"
        ratio = mine.cpu_us / runs[other].cpu_us
        # A JVM is not warm after the few beacons of a quick run: no goal is met by that.
        goal = None if session.quick and other != "raw loop" else GOALS.get((packed, other))
        session.add(Row("worker", what, mine.cpu_us, UNIT, ratio=ratio, of=other, goal=goal))


def _slow(session: Session, mine: dict[int, Run]) -> None:
    quix = str(build.quix())
    for loaded in session.loaded(SAMPLE, (1, 12)):

        def peer(name: str, python: str, *modes: str, loaded: Loaded = loaded) -> Callable[[], Run]:
            return functools.partial(python_peer, session, loaded, SAMPLE_WARM, name, python, *modes)

        runs = session.alternate(
            {
                "Quix Streams exactly-once": peer("quix", quix, "window"),
                "Quix Streams exactly-once, rows kept by hand": peer("quix", quix, "bare"),
                "Faust Tables, RocksDB": peer("faust", sys.executable, "rocksdb", "windowed"),
                "Faust Tables, RocksDB, one plain table": peer("faust", sys.executable, "rocksdb", "plain"),
                "Faust Tables, memory, one plain table": peer("faust", sys.executable, "memory", "plain"),
            },
            BESIDE_RUNS,
        )
        for name, taken in runs.items():
            what = f"{name}, {loaded.packed} a record, sample of {loaded.beacons:,}"
            wall, note = f"{taken.wall_us:.1f} µs", f"{taken.peak_mib:.0f} MiB"
            ratio, goal = taken.cpu_us / mine[loaded.packed].cpu_us, SLOW_GOALS.get((loaded.packed, name))
            session.add(Row("worker", what, taken.cpu_us, UNIT, wall, ratio, "worker", goal, note))


SLOW_GOALS = {
    (12, "Quix Streams exactly-once"): Goal(at_least=8),
    (12, "Faust Tables, RocksDB"): Goal(at_least=25),
}
