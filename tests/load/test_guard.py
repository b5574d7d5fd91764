"""Guards what worker and ingest cost, by ratios alone, with room for a busy machine: twice as dear fails here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.load import broker as kafka
from tests.load import ours
from tests.load.benches.ingest import PREFIX, Load, open_loop, servers
from tests.load.benches.worker import raw, worker
from tests.load.dataset import Shape
from tests.load.session import PARTITIONS, Session

pytestmark = pytest.mark.e2e

SHAPE = Shape(sessions=10_000)
RATE, SECONDS = 1_500, 4


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(Path(tmp_path_factory.mktemp("guard")), runs=2, quick=True)
    yield made
    made.stop()


def test_a_beacon_costs_the_worker_at_most_six_times_the_raw_loop_and_is_counted_once(session: Session) -> None:
    (loaded,) = session.loaded(SHAPE)
    runs = session.alternate(
        {
            "worker": lambda: worker(session, loaded, ours.JOB),
            "raw loop": lambda: raw(session, loaded, 10_000, "plain"),
        }
    )
    assert runs["worker"].cpu_us <= 6 * runs["raw loop"].cpu_us


def test_a_request_costs_ingest_at_most_twice_a_bare_aiohttp_handler(session: Session) -> None:
    for topic, partitions in (("beacons", PARTITIONS), ("ingests", 1)):
        kafka.create(session.broker, PREFIX + topic, partitions)
    with ExitStack() as stack:
        found = servers(session, stack, ("ingest", "bare aiohttp"))
        for server in found.values():
            open_loop(session, server, RATE, 1)
        loads: dict[str, list[Load]] = {name: [] for name in found}
        for _ in range(session.runs):
            for name, server in found.items():
                loads[name].append(open_loop(session, server, RATE, SECONDS))
    cost = {name: min(load.cpu_us for load in taken) for name, taken in loads.items()}
    # Of the best run, as the cost: another one may have waited for the disk, on which Kafka writes too.
    assert min(load.failed for load in loads["ingest"]) == 0
    assert cost["ingest"] <= 2 * cost["bare aiohttp"]
