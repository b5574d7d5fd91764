"""Every client of the line gets through TLS with a password or a certificate, and can do no more than its role."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.e2e.commands import did
from tests.e2e.line import PATIENT
from tests.e2e.reading import Reader
from tests.e2e.secure import SecureCluster, SecureLine
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e
HOUR = 3600
BEACON = "service=analytics&action=trackEvent&eventType=3&partnerId=4242&entryId=1_tls&sessionId=s&eventIndex=1"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureCluster]:
    cluster = SecureCluster(tmp_path_factory.mktemp("secure"))
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        cluster.close()


@pytest.mark.parametrize("door", ["scram", "mutual"])
async def test_a_beacon_is_counted_through_tls_with(cluster: SecureCluster, door: str, tmp_path: Path) -> None:
    line = SecureLine(cluster, door, f"{door}-", tmp_path / "line", **PATIENT)
    try:
        await line.start(workers=2)
        # Ingest waits for Kafka for less than that.
        await until(lambda: time.time() % HOUR < HOUR - 60, 90, "no hour ends before the answer")
        hour, reader = int(time.time()) // HOUR * HOUR, Reader(line.report_url)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{line.ingest_url}/api_v3/index.php?{BEACON}") as answer:
                assert answer.status == 200
            acked_ms = time.time_ns() // 1_000_000
            await reader.counted(acked_ms, 60)
            found = await reader.ask(session, window="1h", by="partner,entry", metrics="plays,views")
            cell = {"partnerId": "4242", "window": "1h", "start": str(hour), "metric": "plays"}
            async with session.get(f"{line.report_url}/v1/events", params=cell) as answer:
                assert answer.status == 200
                assert len((await answer.json())["beacons"]) == 1
        assert found["rows"] == [{"partnerId": "4242", "entryId": "1_tls", "plays": 1, "views": 0}]
        # What an operator calls comes in by a certificate, each of its clients of Kafka.
        operator = cluster.entrance("admin", "mutual")
        status = json.loads(await did(line, "status", "--json", **operator))
        assert status["lag"] == 0
        assert [len(share["copies"]) for share in status["partitions"]] == [1] * len(status["partitions"])
        end = str(hour + 2 * HOUR)
        assert (await did(line, "verify", "--to", end, **operator)).endswith("all equal\n")
        assert await did(line, "rejected", "list", **operator) is not None
    except BaseException:
        print(*line.logs(), sep="\n")
        raise
    finally:
        line.close()


async def test_a_role_writes_only_what_is_its_own(cluster: SecureCluster, tmp_path: Path) -> None:
    line = SecureLine(cluster, "scram", "rights-", tmp_path / "line")
    await line.topics()
    refused = {}
    for role, topic in (("report", "beacons"), ("ingest", "windows"), ("topics", "rejected")):
        refused[role] = await asyncio.to_thread(_produce, cluster, role, f"rights-{topic}")
    assert refused == dict.fromkeys(refused, "TOPIC_AUTHORIZATION_FAILED")
    assert await asyncio.to_thread(_produce, cluster, "ingest", "rights-beacons") == "written"


async def test_a_topic_that_keeps_too_little_is_told_to_the_role_that_looks(
    cluster: SecureCluster, tmp_path: Path
) -> None:
    line = SecureLine(cluster, "scram", "short-", tmp_path / "line")
    await line.topics()
    shorter = ConfigResource(ConfigResource.Type.TOPIC, "short-seen")
    shorter.add_incremental_config(ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET))
    admin = AdminClient(cluster.as_admin())
    admin.incremental_alter_configs([shorter])[shorter].result(20)
    topics = line._process("topics", ("pipeline", "topics"), 0)
    topics.start_only()
    try:
        await until(lambda: not topics.running, 60, "topics has looked")
        assert "topic short-seen keeps records for 1000 ms" in topics.last_lines()
    finally:
        line.close()


async def test_a_wrong_password_is_a_line_and_an_exit(cluster: SecureCluster, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.password"
    wrong.write_text("no\n")
    line = SecureLine(cluster, "scram", "wrong-", tmp_path / "line")
    topics = line._process("topics", ("pipeline", "topics"), 0, KAFKA_SASL_PASSWORD_FILE=str(wrong))
    topics.start_only()
    try:
        await until(lambda: not topics.running, 60, "topics gives up")
        assert "cannot be reached" in topics.last_lines()
    finally:
        line.close()


def _produce(cluster: SecureCluster, role: str, topic: str) -> str:
    entrance = cluster.entrance(role, "scram")
    producer = Producer(
        {
            "bootstrap.servers": entrance["KAFKA_BOOTSTRAP"],
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": entrance["KAFKA_CA_FILE"],
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": role,
            "sasl.password": Path(entrance["KAFKA_SASL_PASSWORD_FILE"]).read_text().strip(),
            "message.timeout.ms": 15_000,
            "log_level": 0,
        }
    )
    answers: list[str] = []
    producer.produce(topic, b"{}", on_delivery=lambda error, _: answers.append(error.name() if error else "written"))
    producer.flush(20)
    return answers[0]
