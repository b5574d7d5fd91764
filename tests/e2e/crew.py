"""What workers say of themselves: on their metrics pages, and in their logs about opening and assignment."""

from __future__ import annotations

import re
from collections.abc import Iterable

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.line import Process
from tests.e2e.wait import until

_OPENED = re.compile(r"partition (\d+) open at -?\d+ after ([\d.]+) s")
_ASSIGNED = re.compile(r"assigned partitions \[([\d, ]*)\]")

# A copy reads every second; on a machine that others use too it may be a few seconds late.
WARM_SECONDS = 4.0


async def by_partition(worker: Process, metric: str) -> dict[int, float]:
    """Return one metric of a worker's page, by partition; nothing while it serves no pages."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/metrics") as page:
            text = await page.text()
    except aiohttp.ClientConnectionError:
        return {}
    return {
        int(sample.labels["partition"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric
    }


async def are_warm(workers: Iterable[Process], partitions: int, each: int | None = None) -> float:
    """Wait until each partition has an owner and a copy that is fresh; return how long that took.

    Args:
        each: where given, every worker is to own so many, too.
    """

    async def warm() -> bool:
        owned: list[int] = []
        copied: list[int] = []
        for worker in workers:
            own = await by_partition(worker, "worker_position")
            if each is not None and len(own) != each:
                return False
            owned += own
            lags = await by_partition(worker, "worker_standby_lag_seconds")
            copied += [number for number, lag in lags.items() if lag < WARM_SECONDS]
        return sorted(owned) == sorted(copied) == list(range(partitions))

    return await until(
        warm, 120, f"each partition has an owner (of {each or 'any number'}) and a fresh copy", every=0.3
    )


def opened(worker: Process, since: int = 0) -> dict[int, float]:
    """Return how many seconds each partition took to open, by the worker's log from some character on."""
    return {int(number): float(took) for number, took in _OPENED.findall(worker.log.read_text()[since:])}


def assignments(worker: Process) -> list[list[int]]:
    """Return the partitions of every assignment that the worker had, in order."""
    return [
        [int(number) for number in found.split(",") if number.strip()]
        for found in _ASSIGNED.findall(worker.log.read_text())
    ]
