"""Alerts and dashboards: they ask for nothing that no process says, each is tested, each has its runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

from deploy.grafana.__main__ import written
from pipeline.__main__ import cli
from pipeline.report.words import METRIC_WORDS, WINDOW
from tests.manifests.checkers import DEPLOY, REPO, check, documents, go_tool, refuses
from tests.manifests.exported import series
from tests.manifests.promql import grouping, read

RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yaml"))
TESTS = sorted((REPO / "tests" / "manifests" / "prometheus").glob("*.yaml"))
RUNBOOKS = DEPLOY / "runbooks"
# What others say of our machines, named with who says it.
OF_OTHERS = {
    "up": "Prometheus",
    "node_filesystem_avail_bytes": "node_exporter",
    "node_filesystem_size_bytes": "node_exporter",
    "kubelet_volume_stats_available_bytes": "kubelet",
    "kubelet_volume_stats_capacity_bytes": "kubelet",
    "probe_ssl_earliest_cert_expiry": "blackbox_exporter",
}
# Prometheus adds these when it scrapes.
BY_SCRAPING = {"instance", "job"}
VARIABLES = re.compile(r"\$__(rate_interval|range)")


@pytest.fixture(scope="module")
def rules(tools: None) -> list[dict[str, Any]]:
    return [
        rule
        for file in RULES
        for document in documents(file.read_text())
        for group in document["groups"]
        for rule in group["rules"]
    ]


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def panel_expressions() -> Iterator[str]:
    for panel in json.loads((DEPLOY / "grafana" / "operators.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield VARIABLES.sub("5m", target["expr"])


@pytest.mark.usefixtures("tools")
def test_promtool_takes_the_configuration_and_every_rule() -> None:
    prometheus = DEPLOY / "prometheus"
    check(go_tool("promtool"), "check", "config", "--syntax-only", prometheus / "prometheus.yml")
    check(go_tool("promtool"), "check", "rules", *RULES)


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_alerts_say_what_they_must_and_are_quiet_else(file: Any) -> None:
    check(go_tool("promtool"), "test", "rules", file)


def test_every_alert_is_tested_to_fire_and_to_be_quiet(alerts: dict[str, Any], tools: None) -> None:
    fires, quiet = set(), set()
    for file in TESTS:
        for test in documents(file.read_text())[0]["tests"]:
            for one in test["alert_rule_test"]:
                (fires if one["exp_alerts"] else quiet).add(one["alertname"])
    assert fires == alerts.keys()
    assert quiet == alerts.keys()


@pytest.mark.usefixtures("tools")
def test_promql_is_read_as_promtool_reads_it(tmp_path: Any) -> None:
    file = tmp_path / "panels.yaml"
    recorded = [{"record": f"panel:{number}", "expr": asked} for number, asked in enumerate(panel_expressions())]
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    check(go_tool("promtool"), "check", "rules", file)


def test_an_expression_is_read_for_its_metrics() -> None:
    asked = 'sum by (a) (rate(x_total{r=~"y|z"}[5m] offset 1h)) > 1e3 and on () min(w) < bool 10 or vector(0)'
    assert list(read(asked)) == [("x_total", [("r", "=~", "y|z")]), ("w", [])]
    assert grouping(asked) == {"a"}


def test_nothing_is_asked_for_that_no_process_says(rules: list[dict[str, Any]]) -> None:
    said = series()
    recorded = {rule["record"] for rule in rules if "record" in rule}
    said["partition_outcome:worker_beacons:max"] = said["worker_beacons_total"]
    for expression in (*(rule["expr"] for rule in rules), *panel_expressions()):
        labels = set(BY_SCRAPING)
        for metric, matchers in read(expression):
            if metric in OF_OTHERS:
                continue
            assert metric in said or metric in recorded, f"nobody says {metric}: {expression}"
            labels |= said.get(metric, {}).keys()
            for label, operator, value in matchers:
                known = said[metric].get(label, set())
                assert label in said[metric], f"{metric} has no label {label}: {expression}"
                picked = [one for one in known if (re.fullmatch(value, one) if "~" in operator else value == one)]
                assert picked, f"{metric} never has {label}{operator}{value!r}: {expression}"
        assert grouping(expression) <= labels, f"grouped by what is not there: {expression}"


def test_the_outcomes_of_a_worker_are_those_that_a_partition_counts() -> None:
    counted = set(re.findall(r'_count\("([A-Za-z]+)', (REPO / "pipeline" / "partition.py").read_text()))
    said = series()["worker_beacons_total"]["outcome"]
    assert {outcome.partition(".")[0] for outcome in said} <= counted


def test_the_operators_dashboard_is_what_its_code_writes() -> None:
    file = DEPLOY / "grafana" / "operators.json"
    assert file.read_text() == written()[file], "run: python -m deploy.grafana"


def test_the_product_dashboard_uses_words_of_the_catalog() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "playback.json").read_text())
    windows = next(one for one in dashboard["templating"]["list"] if one["name"] == "window")
    assert set(windows["query"].split(",")) <= WINDOW.keys(), "run: python -m deploy.grafana"
    asked = {
        word
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        for one in target["url_options"]["params"]
        if one["key"] == "metrics"
        for word in one["value"].split(",")
    }
    assert {"plays", "views", "bufferTime"} <= asked <= set(METRIC_WORDS)


def test_every_alert_has_its_runbook_and_every_runbook_its_alert(alerts: dict[str, Any]) -> None:
    named = {name: alert["annotations"]["runbook"] for name, alert in alerts.items()}
    assert named == {name: f"deploy/runbooks/{name}.md" for name in alerts}
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == alerts.keys()
    for alert in alerts.values():
        assert alert["labels"]["severity"] in ("page", "ticket")


def test_a_runbook_says_what_is_seen_why_and_what_to_do() -> None:
    for page in RUNBOOKS.glob("*.md"):
        headings = re.findall(r"^##? (.+)$", page.read_text(), re.MULTILINE)
        assert headings == [page.stem, "What you see", "Why", "What to do"], page.name


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command of the line that a document of deploy/ names."""
    for page in (*RUNBOOKS.glob("*.md"), DEPLOY / "README.md"):
        for line in re.findall(r"python -m (pipeline [^`\n|;&#>]+)", page.read_text()):
            yield page.name, line.split()[1:]


def test_the_commands_in_documents_exist() -> None:
    found = list(commands())
    assert found
    for page, words in found:
        _follow(page, words)


def _follow(page: str, words: list[str]) -> None:
    """Go from command to command as click does; what is not there fails."""
    command: click.Command = cli
    left = iter(words)
    for word in left:
        if word.startswith("--"):
            options = {name: one for one in command.params for name in one.opts}
            name, _, value = word.partition("=")
            assert name in options or name == "--help", f"{page}: {' '.join(words)}: there is no {name}"
            if name in options and not getattr(options[name], "is_flag", False) and not value:
                next(left, None)
        elif isinstance(command, click.Group):
            inner = command.get_command(click.Context(command), word)
            assert inner is not None, f"{page}: {' '.join(words)}: there is no {word}"
            command = inner


@pytest.mark.usefixtures("tools")
def test_promtool_would_find_a_fault(tmp_path: Any) -> None:
    faulty = tmp_path / "rules.yaml"
    faulty.write_text(RULES[0].read_text().replace("< 0.1", "<< 0.1"))
    assert refuses(go_tool("promtool"), "check", "rules", faulty)
