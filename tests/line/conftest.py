"""Ingest's tests run on the loop that ingest runs on, and on a disk that answers at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.pipeline.life import folder

# Of memory as a disk: a container may have less, and ingest keeps a part of any disk free.
ROOM = 1 << 30


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Give ingest a disk in memory where there is room: on one that others write to, a sync takes as long as theirs."""
    with folder() as in_memory:
        has_spool = request.path.name.startswith(("test_ingest_", "test_traced"))
        is_for_ingest = has_spool and shutil.disk_usage(in_memory).free >= ROOM
        yield in_memory if is_for_ingest else tmp_path


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give uvloop to ingest and asyncio's own loop to everybody else."""
    if item.path.name.startswith("test_ingest_"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
