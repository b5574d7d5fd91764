"""What the tests of the pipeline share: a store, a world of workers, and how many examples properties draw.

Few examples by default, many with HYPOTHESIS_PROFILE=long.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from pipeline.store import Store
from tests.examples import some
from tests.pipeline.life import folder
from tests.pipeline.store_parts import HORIZON_S
from tests.pipeline.worker_in_memory import PLAYS, Worker, World, in_memory, until

_quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("default", max_examples=some(60), deadline=None, suppress_health_check=_quiet)
settings.register_profile("long", max_examples=some(5_000), deadline=None, suppress_health_check=_quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture
def path() -> Iterator[Path]:
    with folder() as base:
        yield base / "store"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, HORIZON_S)
    yield store
    store.close()


@pytest_asyncio.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    with folder() as base:
        world = World(base)
        world.add(0, *PLAYS)
        world.add(1, *PLAYS[:4])
        in_memory(world, monkeypatch)
        yield world
        world.gate.set()
        # An opening that a test left behind writes into the folder that is taken away here.
        await until(lambda: world.opening_now == 0)


@pytest_asyncio.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    worker = world.worker()
    yield worker
    world.gate.set()
    await worker.owner.close()
