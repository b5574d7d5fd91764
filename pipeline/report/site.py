"""The report put together: desk, access, streams and pages behind one front door."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from ingest.tracing import Spans
from pipeline.enrich.beacons_own import BeaconsOwn
from pipeline.report import docs, offer, openapi
from pipeline.report.access import Access
from pipeline.report.behind import Told
from pipeline.report.config import ReportSettings
from pipeline.report.desk import Asks, Desk
from pipeline.report.events import Events
from pipeline.report.front import Front, Handler, Methods
from pipeline.report.keyfile import KeyFile, replace_file
from pipeline.report.limits import Buckets
from pipeline.report.live import Live
from pipeline.report.metrics import Numbers
from pipeline.report.original_route import Original
from pipeline.report.pages import Pages, file_of
from pipeline.report.routes import Api
from pipeline.report.scan import Beacons, Scans
from pipeline.report.stream import Streams
from pipeline.report.traced import TracedDesk, TracedFront


def session_secret(path: Path) -> bytes:
    """Return the secret that signs sessions, made at the first start."""
    if not path.exists():
        replace_file(path, secrets.token_bytes(32))
    return path.read_bytes()


@dataclass(slots=True)
class Site:
    """The parts that live in the event loop.

    Attributes:
        desk: is told what was applied and asked.
        access: its key file is polled.
        live, streams: are closed at the end.
        front: is served.
        scans: are ended at the end; None: no number is explained.
    """

    desk: Desk
    access: Access
    live: Live
    streams: Streams
    front: Front
    scans: Scans | None


@dataclass(frozen=True, slots=True)
class Log:
    """Topic `beacons`, and how the worker tells repeats in it."""

    beacons: Beacons
    told: Told


def build(
    settings: ReportSettings,
    readers: Asks,
    keys: KeyFile | None,
    secret: bytes,
    alive: Callable[[], bool],
    beacons: Log | None = None,
    spans: Spans | None = None,
) -> Site:
    """Return a whole report that waits for rows; without `beacons` it explains no number."""
    if spans is not None and not spans.is_on:
        spans = None
    desk = (Desk if spans is None else TracedDesk)(
        readers, settings.cache_mib << 20, settings.concurrent_per_key, settings.waiting_per_key
    )
    access = Access(
        keys,
        secret,
        Buckets(settings.rate_per_second, settings.rate_burst),
        Buckets(settings.failures_per_minute / 60, settings.failures_per_minute),
        settings.session_hours * 3600,
        settings.public_origin,
    )
    live = Live(desk, settings.live_every_ms / 1000)
    numbers = Numbers(desk, access, live)
    api = Api(desk, access, alive, numbers.page)
    streams = Streams(api, access, live, settings.live_per_key, settings.live_readers, settings.heartbeat_s)
    scans, events = None, None
    if beacons is not None and settings.scans:
        scans = Scans(beacons.beacons, settings.scans)
        events = Events(desk, access, scans, beacons.told, BeaconsOwn(), settings.scan_beacons)
    paths = _paths(settings, api, streams, events)
    front = Front(*paths, numbers.answered) if spans is None else TracedFront(*paths, numbers.answered, spans)
    return Site(desk, access, live, streams, front, scans)


def _paths(
    settings: ReportSettings, api: Api, streams: Streams, events: Events | None
) -> tuple[dict[str, Methods], dict[str, Handler]]:
    document = openapi.document()
    made = {
        "/openapi.json": file_of(orjson.dumps(document), "application/json"),
        "/v1/catalog": file_of(orjson.dumps(offer.catalog()), "application/json"),
        "/docs": file_of(docs.page(document).encode(), "text/html; charset=utf-8"),
        "/docs.css": file_of(docs.STYLE.encode(), "text/css; charset=utf-8"),
    }
    pages = Pages(settings.assets, made)
    paths: dict[str, Methods] = {
        "/v1/report": {"GET": api.report},
        "/v1/live": {"GET": streams.handle},
        "/query": {"POST": Original(api.desk, api.access).handle},
        "/v1/status": {"GET": api.status},
        "/session": {"GET": api.show_session, "POST": api.sign_in, "DELETE": api.sign_out},
        "/health": {"GET": api.health},
        "/ready": {"GET": api.ready},
        "/metrics": {"GET": api.show_metrics},
    }
    if events is not None:
        paths["/v1/events"] = {"GET": events.handle}
    shown: dict[str, Handler] = {
        "/": pages.index,
        "/page/": pages.page,
        "/vendor/": pages.vendor,
        **dict.fromkeys(made, pages.made),
    }
    return paths, shown
