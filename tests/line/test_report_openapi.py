"""Schemathesis over the OpenAPI: no server error, every answer as it is described."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks as known
from schemathesis.specs.openapi import checks

from ingest.beacon import Beacon
from pipeline.report.openapi import document
from tests.line.report_stage import T, report, write_keys

MANY, FEW = 300, 25


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A report in a thread of its own, as the tests here wait for it without an event loop."""
    folder, stop, started = tmp_path_factory.mktemp("openapi"), asyncio.Event(), threading.Event()
    found: list[tuple[str, dict[str, str]]] = []
    loop = asyncio.new_event_loop()

    async def run(path: Path) -> None:
        headers = write_keys(path / "keys", {"ops": None})
        async with report(path, keys=path / "keys", rate_burst=10**6, failures_per_minute=10**6) as stage:
            for partner in ("4242", "7"):
                for minute in range(5):
                    stage.play(partner, "1_x", T + 60 * minute, minute + 1)
            for number in range(50):
                query = f"service=analytics&eventType=3&partnerId=4242&entryId=1_x&sessionId=s{number}&eventIndex=1"
                stage.beacons.put(Beacon(f"i{number}", (T + number) * 1000, path=b"/x", query=query.encode()))
            await stage.checkpoint()
            stage.counted((T + 200) * 1000)
            found.append((stage.url, headers["ops"]))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(folder),), daemon=True)
    thread.start()
    assert started.wait(20)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    assert not thread.is_alive(), "it does not end"
    loop.close()


# A stream does not end, and so cannot be read here; its parameters are those of /v1/report.
SCHEMA = schemathesis.openapi.from_dict(document()).exclude(path="/v1/live")
OPERATIONS = {one.label: one for one in (found.ok() for found in SCHEMA.get_all_operations())}

CHECKS = [
    known.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.unsupported_method,
    checks.ignored_auth,
]


@pytest.mark.parametrize("label", [*OPERATIONS])
def test_every_answer_is_as_described(label: str, url: tuple[str, dict[str, str]]) -> None:
    base, headers = url

    @settings(
        max_examples=MANY if any(one in label for one in ("report", "events", "query")) else FEW,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy())
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=base, headers=headers, checks=CHECKS, timeout=10)

    holds()


def test_every_described_route_is_tried() -> None:
    assert {label.partition(" ")[2] for label in OPERATIONS} | {"/v1/live"} == {*document()["paths"]}


async def test_every_route_that_is_served_is_described_with_its_methods(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        served = {
            (path, method) for path, methods in stage.site.front._api.items() for method in methods if method != "HEAD"
        } | {(path, "GET") for path in stage.site.front._pages if path.startswith("/v1/")}
    described = {(path, name.upper()) for path, methods in document()["paths"].items() for name in methods}
    assert served == described
