"""Parts of a transaction reach Kafka late, when their sender has long gone on: every row stays exact.

No client library here speaks KIP-890, so a late message can end or join a transaction that is not its own. The
proxy lets EndTxn through in the middle of the next transaction, which Kafka then commits torn: marks without their
rows, or rows without their marks. With the worker's guard switched off the same messages at the same places must
leave wrong rows: the test proves the test. LATE_SECONDS makes the others later (up to 60).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.kafka import free_port
from tests.chaos.checks import Verdict, judge
from tests.chaos.proxy import Api, Hold, Proxy
from tests.chaos.sending import Journal, Sender
from tests.chaos.stage import ProxiedBroker
from tests.chaos.topics import read_windows
from tests.chaos.watch import Reader, settled
from tests.e2e.line import Line, Process
from tests.e2e.traffic import Request, traffic
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e

SEED = int(os.environ.get("SEED", "1"))
LATE_SECONDS = float(os.environ.get("LATE_SECONDS", "6"))
RATE = 150
# Some re-sends come while a transaction is torn; at the end everything is sent again.
RESENT = 0.1
SENT_AGAIN_RATE = 1_000
TEARS = 4
REFUSED = "Producer attempted a transactional operation in an invalid state"


class LateLine(Line):
    """A line of one partition, whose worker reaches Kafka through a proxy and may be without its guard."""

    def __init__(self, broker: ProxiedBroker, prefix: str, folder: Path) -> None:
        super().__init__(broker.bootstrap, prefix, folder, PARTITIONS="1")
        self._proxied = f"127.0.0.1:{broker.proxies['worker'].port}"

    def late_worker(self, guarded: bool) -> Process:
        module = "pipeline" if guarded else "tests.chaos.unguarded"
        port = free_port()
        more = {
            "WORKER_ID": "worker",
            "WORKER_PORT": str(port),
            "WORKER_STATE_DIR": str(self.state_folder("worker")),
            "KAFKA_BOOTSTRAP": self._proxied,
        }
        return self._process("worker", (module, "worker"), port, **more)


@pytest.fixture(scope="module")
def late_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedBroker]:
    listeners = {"worker": (free_port(), free_port())}
    broker = ProxiedBroker(tmp_path_factory.mktemp("kafka"), free_port(), listeners)
    try:
        asyncio.run(broker.start())
        yield broker
    finally:
        broker.kill()


@pytest.fixture
async def proxy(late_broker: ProxiedBroker) -> AsyncIterator[Proxy]:
    found = late_broker.proxies["worker"]
    await found.start()
    yield found
    await found.close()


def tear() -> list[Hold]:
    """Return what tears a transaction: the last one's EndTxn comes between the next one's two Produce."""
    end = Hold(Api.END_TXN, 30, cut=True, overtaken_by=(Api.PRODUCE, 1))
    return [end, Hold(Api.PRODUCE, 30, behind=end)]


def late_ones() -> list[list[Hold]]:
    """Return each kind late once: its sender waits for it, and its sender connects anew and goes on."""
    kinds = (Api.END_TXN, Api.PRODUCE, Api.ADD_PARTITIONS)
    return [[Hold(api, LATE_SECONDS, cut)] for api in kinds for cut in (False, True)]


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended."""

    journal: Journal
    verdict: Verdict
    refused: int


async def run_late(line: LateLine, proxy: Proxy, late: list[list[Hold]], guarded: bool) -> Ran:
    """Send traffic while messages are late, each after the line has caught up; then judge every row.

    At the end everything is sent once more: each re-send finds out whether the mark of its first sighting is there. Few
    re-sends by chance are not enough, as a torn transaction may be of a few beacons.
    """
    await line.topics()
    await asyncio.gather(*(part.start() for part in (line.ingest(), line.report(), line.late_worker(guarded))))
    journal, reader = Journal(), Reader(line.report_url, "")
    planned: list[Request] = []
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_send(line.ingest_port, journal, planned))
        for holds in late:
            await until(lambda: bool(journal.acked), 30, "traffic flows")
            await reader.counted(journal.acked[-1][0], 60)
            proxy.holds[:] = holds
            for hold in holds:
                await asyncio.wait_for(hold.delivered.wait(), hold.seconds + 60)
            proxy.holds.clear()
        sending.cancel()
    await reader.counted(journal.acked[-1][0], 120)
    await Sender(line.ingest_port, journal).send(planned, SENT_AGAIN_RATE)
    beacons = await settled(reader, line.bootstrap, f"{line.prefix}beacons", 120)
    windows = read_windows(line.bootstrap, f"{line.prefix}windows")
    verdict = judge(journal.outcomes, beacons, windows, await reader.whole_table())
    refused = line.processes["worker"].log.read_text().count(f"checkpoint not delivered: Broker: {REFUSED}")
    print(
        f"guard {'on' if guarded else 'off'}: {journal.sent} beacons sent, {sum(map(len, late))} messages late, "
        f"{refused} transactions torn; lost {verdict.lost}, doubled {verdict.doubled}"
    )
    return Ran(journal, verdict, refused)


async def _send(port: int, journal: Journal, planned: list[Request]) -> None:
    """Send until cancelled, and tell what; what is under way then may count."""
    sender, part = Sender(port, journal), 0
    while True:
        part += 1
        requests = traffic(SEED * 100 + part, RATE * 5, RESENT)
        planned += requests
        await sender.send(requests, RATE * (1 + RESENT))


async def test_transactions_that_late_messages_tore_are_healed(
    late_broker: ProxiedBroker, proxy: Proxy, tmp_path: Path
) -> None:
    line = LateLine(late_broker, "torn-", tmp_path / "line")
    try:
        ran = await run_late(line, proxy, [tear() for _ in range(TEARS)], guarded=True)
    finally:
        line.close()
    assert ran.refused >= TEARS
    assert ran.verdict == Verdict(0, 0, [])


async def test_the_same_messages_leave_wrong_rows_where_the_guard_is_off(
    late_broker: ProxiedBroker, proxy: Proxy, tmp_path: Path
) -> None:
    line = LateLine(late_broker, "unguarded-", tmp_path / "line")
    try:
        ran = await run_late(line, proxy, [tear() for _ in range(TEARS)], guarded=False)
    finally:
        line.close()
    assert ran.refused >= TEARS
    assert ran.verdict.lost + ran.verdict.doubled > 0
    assert ran.verdict.findings


async def test_each_part_of_a_transaction_may_be_late(late_broker: ProxiedBroker, proxy: Proxy, tmp_path: Path) -> None:
    line = LateLine(late_broker, "late-", tmp_path / "line")
    try:
        ran = await run_late(line, proxy, late_ones(), guarded=True)
    finally:
        line.close()
    assert ran.verdict == Verdict(0, 0, [])
