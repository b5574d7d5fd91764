"""THE LINE of a worker: beacons come from Kafka through a Faust agent, and go to the partition's owner.

topic beacons -> fetch -> Faust agent -> owner.take -> partition: accept, judge, fold
every second of each partition: owner.checkpoint -> one transaction
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import faust
from faust.types import TP

from pipeline.assignor import Assignor
from pipeline.catalog import METRICS, WINDOWS
from pipeline.changelog import Topics
from pipeline.chosen import sets_named
from pipeline.config import KafkaSettings, LineSettings, RefusedSetting, WorkerSettings
from pipeline.enrich.enrichers import Enrichers
from pipeline.fetch import Fetch, Transport
from pipeline.metrics import WorkerMetrics
from pipeline.owned import Place
from pipeline.owner import Owner
from pipeline.rows import Rules
from pipeline.standby import Standby
from pipeline.topics import topic_id_of
from pipeline.windows import Shape

log = logging.getLogger(__name__)

# How long a file that an operator replaced stays unseen.
FILES_S = 1.0
# How often checkpoints that are due are looked for: what one is late by, at most, while Kafka answers.
LOOK_S = 0.05
METADATA_MS = 10_000


class Line:
    """A worker's parts, put together."""

    def __init__(
        self,
        kafka: KafkaSettings,
        line: LineSettings,
        worker: WorkerSettings,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        """Build everything; nothing runs yet."""
        self.topics = Topics.of(line.topic_prefix, line.state)
        self.group = line.state + "pipeline"
        self.metrics = metrics or WorkerMetrics()
        self.fetch = Fetch(kafka.librdkafka(), self.topics.beacons)
        place = Place(
            kafka.librdkafka(),
            self.topics,
            self.group,
            worker.state_dir or line.data_dir / "state" / worker.id,
            lambda topic: topic_id_of(kafka, topic),
            worker.checkpoint_ms / 1000,
            worker.checkpoint_cells,
        )
        rules = rules_of(line, worker)
        self._enrichment = rules.enrichment
        self.owner = Owner(place, rules, self.fetch, self.metrics)
        self.metrics.watch(self.owner.held)
        self.standby = Standby(place, worker.dedupe_horizon_s, lambda: self.owner.is_ready)
        self._follows = worker.standby > 0
        self.metrics.watch_standby(self.standby)
        self.app = _faust_app(kafka, worker, self.group, place)
        self.app.assignor.partitions[self.topics.beacons] = line.partitions
        self.app.transport = Transport([*self.app.conf.broker_consumer], self.app, self.fetch)
        self._look_s = min(LOOK_S, place.checkpoint_s)
        self._even_out_s = worker.even_out_s
        self._even_out_at = math.inf
        self._wire()

    def _wire(self) -> None:
        app, owner, standby = self.app, self.owner, self.standby
        beacons = app.topic(self.topics.beacons, value_serializer="raw", key_serializer="raw", acks=True)

        @app.agent(beacons, name="count")
        async def count(stream: Any) -> None:
            async for event in stream.noack().events():
                await owner.take(event.message.partition, event.value, event.ack)

        @app.on_partitions_assigned.connect
        async def assigned(sender: Any, assigned: Iterable[TP], **_: Any) -> None:
            topic = beacons.get_topic_name()
            ours = {tp.partition for tp in assigned if tp.topic == topic}
            await standby.let_go(ours)
            await owner.assign(ours)
            copies = app.assignor.assigned_standbys() if self._follows else set()
            await standby.follow({tp.partition for tp in copies if tp.topic == topic} - ours)
            self._even_out_at = time.monotonic() + self._even_out_s if app.assignor.left_uneven else math.inf

        @app.on_partitions_revoked.connect
        async def revoked(sender: Any, revoked: Iterable[TP], **_: Any) -> None:
            await owner.settle()

    async def run(self, stop: asyncio.Event) -> None:
        """Count until told to stop; then write what is folded and leave the group.

        Raises:
            RuntimeError: Faust gave up. The process should end, and be started again.
        """
        await self.app.start()
        crashed = asyncio.ensure_future(self.app.wait_until_stopped())
        following = asyncio.ensure_future(self._follow_files())
        stopping = asyncio.ensure_future(stop.wait())
        while not stopping.done() and not crashed.done():
            await asyncio.wait([stopping, crashed], timeout=self._look_s, return_when="FIRST_COMPLETED")
            self.owner.checkpoint()
            await self.owner.follow_retention()
            self._even_out()
        following.cancel()
        await self.owner.close()
        await self.standby.close()
        if crashed.done():
            raise RuntimeError("Faust stopped by itself")
        crashed.cancel()
        await self.app.stop()
        self.fetch.close()

    def _even_out(self) -> None:
        """Have what a loss left uneven shared again, once copies have had their time to become warm."""
        if time.monotonic() >= self._even_out_at:
            self._even_out_at = math.inf
            log.info("partitions are shared again: a loss left them uneven")
            self.app.consumer.share_again()

    async def _follow_files(self) -> None:
        """Take in the files of the operator that were replaced; reading a large one must not hold the line up."""
        while self._enrichment is not None:
            await asyncio.sleep(FILES_S)
            await asyncio.to_thread(self._enrichment.refresh)


def rules_of(line: LineSettings, worker: WorkerSettings) -> Rules:
    """Return what this line counts and how.

    Raises:
        RefusedSetting: a window or set is not in the catalog, or a file of users cannot be used.
    """
    windows = _chosen("WORKER_WINDOWS", worker.windows, {window.name: window for window in WINDOWS})
    metrics = _chosen("WORKER_METRICS", worker.metrics, {metric.name: metric for metric in METRICS})
    sets = sets_named(worker.sets)
    shape = Shape.of(tuple(windows), sets)
    if shape.partner_set is None:
        log.warning("WORKER_MAX_ENTRIES bounds no rows: those of set partner count them; add partner to WORKER_SETS")
    return Rules(
        shape,
        tuple(metrics),
        Enrichers(worker, asks_for_users=any("user" in kept.dimensions for kept in sets)),
        worker.dedupe_by == "pair",
        worker.dedupe_horizon_s,
        worker.max_entries,
        max(1000, worker.cache_rows // line.partitions),
    )


def _chosen(setting: str, names: str, known: dict[str, Any]) -> list[Any]:
    chosen = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    for name in chosen:
        if name not in known:
            raise RefusedSetting(f"{setting}: {name!r} is not in the catalog: {', '.join(known)}")
    return [known[name] for name in chosen]


def _faust_app(kafka: KafkaSettings, worker: WorkerSettings, group: str, place: Place) -> faust.App:
    place.state_dir.mkdir(parents=True, exist_ok=True)
    return faust.App(
        group,
        broker=["kafka://" + address for address in kafka.bootstrap.split(",")],
        # What the group lists its members by: `status` says who owns what.
        broker_client_id=worker.id,
        # Not the host's name, which another container has: a member that comes back must be the one that went.
        canonical_url=f"http://{quote(worker.id, safe='')}",
        # The assignor says who keeps which copy, and gives a lost worker's partitions to those that have one.
        PartitionAssignor=Assignor,
        table_standby_replicas=worker.standby,
        broker_credentials=_credentials(kafka),
        datadir=str(place.state_dir / "faust"),
        autodiscover=False,
        # Its web server listens everywhere and serves tables by key; ours is pipeline/health.py.
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=worker.session_timeout_ms / 1000,
        broker_heartbeat_interval=worker.session_timeout_ms / 1000 / 6,
        # The consumer thread fetches nothing, so it looks idle to aiokafka: it is not.
        broker_max_poll_interval=1_000_000.0,
        broker_commit_interval=3.0,
        # What a broker said of the topics while it was coming back is asked again soon, not after five minutes.
        consumer_metadata_max_age_ms=METADATA_MS,
        consumer_group_instance_id=worker.instance_id or None,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        # What is folded is in the checkpoint, not in Faust: nothing to wait for at a rebalance.
        stream_recovery_delay=0.0,
        producer_acks=-1,
    )


def _credentials(kafka: KafkaSettings) -> Any:
    """Return what Faust's own client says to Kafka to be let in; None where nothing is asked."""
    context = kafka.tls()
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.password(),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return None if context is None else faust.SSLCredentials(context)
