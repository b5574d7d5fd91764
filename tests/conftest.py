"""One Kafka for every test that has a line on it: a JVM, started by the first that asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.broker import Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    # Here, so that tests without a broker do not load what starts one.
    from tests.e2e.broker import Broker

    node = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        asyncio.run(node.start())
        yield node
    finally:
        node.kill()
