"""What a worker says of itself: its ledgers add up on /metrics too, and /ready tells the truth."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client import generate_latest

from pipeline.health import serve_health
from pipeline.metrics import WorkerMetrics
from tests.pipeline.life import Sent, living
from tests.pipeline.lines import play


def test_the_ledger_of_every_open_partition_is_shown() -> None:
    with living([[Sent()], [Sent()], [Sent(kind=4_711)]]) as life:
        life.log.append(play(partner="x"))
        life.finish()
        metrics = WorkerMetrics()
        metrics.watch(lambda: {3: life.partition})
        shown = {
            outcome: metrics.registry.get_sample_value("worker_beacons_total", {"partition": "3", "outcome": outcome})
            for outcome in ("beacons", "unique", "duplicates", "unknownTypes", "rejected", "rejected.bad_partner")
        }
        assert shown == {
            "beacons": 4,
            "unique": 1,
            "duplicates": 1,
            "unknownTypes": 1,
            "rejected": 1,
            "rejected.bad_partner": 1,
        }
        assert metrics.registry.get_sample_value("worker_position", {"partition": "3"}) == 3


def test_that_nothing_was_lost_is_shown_from_the_start_so_that_a_first_loss_is_a_rise() -> None:
    with living([[Sent()]]) as life:
        metrics = WorkerMetrics()
        metrics.watch(lambda: {0: life.partition})
        lost = {"partition": "0", "outcome": "lostOffsets"}
        assert metrics.registry.get_sample_value("worker_beacons_total", lost) == 0
        life.partition.skip_to(3)
        life.finish()
        assert metrics.registry.get_sample_value("worker_beacons_total", lost) == 3


def test_what_is_folded_and_not_written_is_not_shown_yet() -> None:
    with living([[Sent()]]) as life:
        life.take()
        metrics = WorkerMetrics()
        metrics.watch(lambda: {0: life.partition})
        assert metrics.registry.get_sample_value("worker_position", {"partition": "0"}) == -1


def test_every_metric_of_the_worker_says_what_it_is() -> None:
    for family in WorkerMetrics().registry.collect():
        assert family.documentation.endswith(".")


@pytest.mark.parametrize("is_ready", [True, False])
async def test_the_pages_of_a_worker(is_ready: bool, unused_tcp_port: int) -> None:
    metrics = WorkerMetrics()
    runner = await serve_health("127.0.0.1", unused_tcp_port, lambda: is_ready, metrics.registry)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as client:
            async with client.get("/health") as health:
                assert (health.status, await health.text()) == (200, "ok\n")
            async with client.get("/ready") as ready:
                assert ready.status == (200 if is_ready else 503)
            async with client.get("/metrics") as page:
                assert (page.status, await page.read()) == (200, generate_latest(metrics.registry))
            async with client.get("/table/x") as none:
                assert none.status == 404
    finally:
        await runner.cleanup()
