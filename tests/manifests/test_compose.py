"""compose.yaml: Compose's own loader takes it, every process of ours is locked in and starts with its settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.checkers import DEPLOY, check, go_tool, refuses
from tests.manifests.known_settings import start

OURS = ("topics", "keys", "ingest-1", "ingest-2", "worker-1", "worker-2", "report-1", "report-2", "probe")
COMPOSE = DEPLOY / "compose.yaml"


@pytest.fixture(scope="module")
def services(tools: None) -> dict[str, dict[str, Any]]:
    found = json.loads(check(go_tool("compose-spec"), "-format", "json", COMPOSE, folder=DEPLOY))
    services: dict[str, dict[str, Any]] = found["services"]
    return services


def test_the_whole_line_is_there(services: dict[str, Any]) -> None:
    assert sorted(services) == sorted((*OURS, "kafka", "prometheus", "grafana"))
    assert services["kafka"]["image"] == "apache/kafka:4.1.1"


@pytest.mark.usefixtures("tools")
def test_the_loader_would_find_a_fault(tmp_path: Path) -> None:
    faulty = tmp_path / "compose.yaml"
    faulty.write_text(COMPOSE.read_text().replace("cap_drop:", "cap_drops:"))
    assert refuses(go_tool("compose-spec"), faulty)


@pytest.mark.parametrize("name", OURS)
def test_a_process_of_ours_is_locked_in(name: str, services: dict[str, Any]) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["image"] == "playback-analytics:local"


@pytest.mark.parametrize("name", OURS)
def test_a_process_of_ours_starts_with_its_settings(name: str, services: dict[str, Any]) -> None:
    start(name.split("-", maxsplit=1)[0], services[name].get("environment") or {})


@pytest.mark.parametrize("name", [name for name in OURS if name[-1].isdigit()])
def test_what_stays_is_on_a_volume_of_its_own_and_readiness_is_watched(name: str, services: dict[str, Any]) -> None:
    service = services[name]
    data = [mount["source"] for mount in service["volumes"] if mount["target"] == "/data"]
    assert data == [name]
    assert "/ready" in " ".join(service["healthcheck"]["test"])


def test_nothing_is_open_to_other_machines(services: dict[str, Any]) -> None:
    hosts = {port["host_ip"] for service in services.values() for port in service.get("ports") or []}
    assert hosts == {"127.0.0.1"}
