"""The manifests: built by kustomize, every object held against its kind's schema, every pod locked in."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.process import _FINISH_SECONDS, _LAST_WORD_SECONDS
from tests.manifests.checkers import DEPLOY, TOOLS, check, documents, go_tool, python_tool, refuses
from tests.manifests.known_settings import start

OVERLAYS = ("production", "plaintext")
# The oldest Kubernetes that knows all that is used (a preStop that sleeps), and the newest that is known here.
KUBERNETES = ("1.30", "1.37")
KEDA = """
for (const object of JSON.parse(require('fs').readFileSync(0))) {
  const kind = require(`@kubernetes-models/keda/keda.sh/v1alpha1/${object.kind}`)[object.kind];
  new kind(object).validate();
}
"""
Objects = list[dict[str, Any]]


@functools.cache
def build(overlay: str) -> str:
    return check(go_tool("kustomize"), "build", DEPLOY / "k8s" / "overlays" / overlay)


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest, tools: None) -> Objects:
    return documents(build(request.param))


def of_kind(objects: Objects, *kinds: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def pods(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in of_kind(objects, "StatefulSet", "Deployment", "Job").items():
        yield name, one["spec"]["template"]["spec"]


def environment(container: dict[str, Any], objects: Objects) -> dict[str, str]:
    """Return what the process will see; a pod's name stands for what Kubernetes fills in."""
    maps = of_kind(objects, "ConfigMap")
    given: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        given |= maps[source["configMapRef"]["name"]]["data"]
    return given | {one["name"]: one.get("value", "pod-0") for one in container["env"]}


def by_keda(objects: Objects) -> Objects:
    return [one for one in objects if one["apiVersion"].startswith("keda.sh/")]


def node() -> tuple[str | Path, ...]:
    return (python_tool("node"), "-e", KEDA)


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_fits_its_schema(overlay: str, version: str, tmp_path: Path) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(build(overlay))
    said = check(python_tool("kubernetes-validate"), "--strict", "-k", version, file)
    unknown = [line for line in said.splitlines() if "INFO" not in line and "keda.sh/" not in line]
    assert unknown == []


@pytest.mark.usefixtures("tools")
def test_the_schema_would_find_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(build("production").replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    assert refuses(python_tool("kubernetes-validate"), "--strict", file)


def test_what_keda_reads_fits_its_schema(tools: None) -> None:
    found = by_keda(documents(build("production")))
    assert [one["kind"] for one in found] == ["ScaledObject", "TriggerAuthentication"]
    check(*node(), given=json.dumps(found), folder=TOOLS / "node")


def test_kedas_schema_would_find_a_fault(tools: None) -> None:
    found = by_keda(documents(build("production")))
    del found[0]["spec"]["scaleTargetRef"]
    with pytest.raises(AssertionError, match="scaleTargetRef"):
        check(*node(), given=json.dumps(found), folder=TOOLS / "node")


def test_every_pod_is_locked_in(objects: Objects) -> None:
    for name, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False, name
        # Else the Service `ingest` would put INGEST_PORT and more into the environment.
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name


def test_every_pod_starts_with_its_settings(objects: Objects) -> None:
    for name, pod in pods(objects):
        start(name, environment(pod["containers"][0], objects))


def test_what_serves_is_asked_whether_it_lives_and_whether_it_is_ready(objects: Objects) -> None:
    for name, pod in pods(objects):
        if name != "topics":
            asked = pod["containers"][0]
            assert asked["livenessProbe"]["httpGet"]["path"] == "/health", name
            assert asked["readinessProbe"]["httpGet"]["path"] == "/ready", name


def test_a_pod_is_given_the_time_that_its_process_takes_to_stop(objects: Objects) -> None:
    grace = {name: pod.get("terminationGracePeriodSeconds") for name, pod in pods(objects)}
    delay = float(environment(dict(pods(objects))["ingest"]["containers"][0], objects)["INGEST_STOP_DELAY_SECONDS"])
    assert grace["ingest"] >= delay + _FINISH_SECONDS + 1 + _LAST_WORD_SECONDS + 5
    assert grace["worker"] >= 20 + 10
    assert grace["report"] >= 15


def test_every_workload_has_a_budget_and_is_spread(objects: Objects) -> None:
    # Of the probe there is one, and nothing is lost while it is away.
    serving = sorted(of_kind(objects, "StatefulSet", "Deployment").keys() - {"probe"})
    assert serving == ["ingest", "report", "worker"]
    assert sorted(of_kind(objects, "PodDisruptionBudget")) == serving
    for name, pod in pods(objects):
        if name in serving:
            assert {one["topologyKey"] for one in pod["topologySpreadConstraints"]} == {
                "topology.kubernetes.io/zone",
                "kubernetes.io/hostname",
            }


def test_no_network_but_what_is_named(objects: Objects) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    assert policies["deny-everything"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    reached = {
        port["port"] for one in policies.values() for rule in one["spec"].get("ingress") or [] for port in rule["ports"]
    }
    listening = {port["containerPort"] for _, pod in pods(objects) for port in pod["containers"][0].get("ports") or []}
    assert reached == listening


def test_no_more_workers_than_partitions(tools: None) -> None:
    objects = documents(build("production"))
    scaled = of_kind(objects, "ScaledObject")["worker"]["spec"]
    settings = environment(dict(pods(objects))["worker"]["containers"][0], objects)
    assert scaled["maxReplicaCount"] == int(settings["PARTITIONS"])
    trigger = scaled["triggers"][0]["metadata"]
    assert trigger["bootstrapServers"] == settings["KAFKA_BOOTSTRAP"]
    assert trigger["topic"] == settings["TOPIC_PREFIX"] + "beacons"
    assert trigger["consumerGroup"] == settings["TOPIC_PREFIX"] + "pipeline"
    assert "replicas" not in of_kind(objects, "StatefulSet")["worker"]["spec"]
