"""Panels and their places in Grafana's dashboard JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

WIDTH = 24
# Grafana migrates older ones up when it loads them.
SCHEMA = 39
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def panel(
    kind: str, title: str, says: str, targets: Sequence[Json], *, unit: str = "short", width: int = 8, height: int = 8
) -> Json:
    """Return a panel without its place."""
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": targets[0]["datasource"],
        "targets": [target | {"refId": letter} for target, letter in zip(targets, LETTERS, strict=False)],
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": _options(kind),
    }


def _options(kind: str) -> Json:
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    return {}


def row(title: str) -> Json:
    """Return a heading that the panels after it belong to."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": WIDTH, "h": 1}}


def dashboard(uid: str, title: str, says: str, panels: Sequence[Json], **more: Any) -> Json:
    """Return the dashboard with every panel in its place: from left to right, then down."""
    placed, left, top, tallest = [], 0, 0, 0
    for number, one in enumerate(panels, 1):
        size = one["gridPos"]
        if left + size["w"] > WIDTH:
            left, top, tallest = 0, top + tallest, 0
        placed.append(one | {"id": number, "gridPos": size | {"x": left, "y": top}})
        left, tallest = left + size["w"], max(tallest, size["h"])
    return {
        "uid": uid,
        "title": title,
        "description": says,
        "tags": ["playback"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "panels": placed,
        **more,
    }
