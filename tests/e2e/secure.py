"""A cluster that asks everybody for a password or a certificate, and a line that has them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.kafka.certificates import make_authority, make_certificate
from deploy.kafka.node import Ports, SecureNode
from deploy.kafka.roles import Role
from deploy.local import kafka
from deploy.local.child import Child, Launch
from tests.e2e.line import REPO, Line, Process
from tests.e2e.wait import until


class SecureCluster:
    """As many nodes as asked for; users, rights and certificates for every role and for `admin`."""

    def __init__(self, folder: Path, nodes: int = 1) -> None:
        kafka.fetch()
        self.folder = folder
        self.certificates = folder / "certificates"
        make_authority(self.certificates)
        for name in ("broker", "admin", *Role):
            make_certificate(self.certificates, name)
        ports = tuple(Ports(*(kafka.free_port() for _ in range(3))) for _ in range(nodes))
        self.nodes = [
            SecureNode(number, ports, folder / f"node-{number}", self.certificates, kafka._java())
            for number in range(1, nodes + 1)
        ]
        self.children = [self._child(node) for node in self.nodes]

    def bootstrap(self, door: str) -> str:
        """Return the addresses of one door: `scram` or `mutual`."""
        return ",".join(f"127.0.0.1:{getattr(ports, door)}" for ports in self.nodes[0].cluster)

    async def start(self) -> None:
        for child in self.children:
            child.start()
        await self.serves()
        self.run("deploy.kafka.users", str(self.folder))

    async def serves(self) -> None:
        """Wait until every node that runs is in the cluster."""
        await until(lambda: asyncio.to_thread(self._answers), 240, "the cluster serves")

    def run(self, module: str, *arguments: str, **environment: str) -> str:
        """Run one of our commands as the user `admin`."""
        command = (sys.executable, "-m", module, *arguments)
        done = subprocess.run(
            command,
            env=_without_ours() | self.entrance("admin", "mutual") | environment,
            cwd=REPO,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{module} failed: {done.stdout}{done.stderr}"
        return done.stdout

    def entrance(self, role: str, door: str) -> dict[str, str]:
        """Return the settings that let a role in by a door."""
        settings = {"KAFKA_BOOTSTRAP": self.bootstrap(door), "KAFKA_CA_FILE": str(self.certificates / "ca.pem")}
        if door == "mutual":
            return settings | {
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_CERT_FILE": str(self.certificates / f"{role}.pem"),
                "KAFKA_KEY_FILE": str(self.certificates / f"{role}.key"),
            }
        return settings | {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": role,
            "KAFKA_SASL_PASSWORD_FILE": str(self.folder / f"{role}.password"),
        }

    def close(self) -> None:
        for child in self.children:
            child.finish(0)

    def _child(self, node: SecureNode) -> Child:
        node.folder.mkdir(parents=True)
        name = f"kafka-{node.number}"
        return Child(
            name, lambda: Launch(node.command(), dict(os.environ), lambda: True), node.folder / "kafka.log", 10
        )

    def as_admin(self) -> dict[str, str]:
        """Return the connection of a librdkafka client that may do everything."""
        entrance = self.entrance("admin", "mutual")
        return {
            "bootstrap.servers": entrance["KAFKA_BOOTSTRAP"],
            "security.protocol": "SSL",
            "ssl.ca.location": entrance["KAFKA_CA_FILE"],
            "ssl.certificate.location": entrance["KAFKA_CERT_FILE"],
            "ssl.key.location": entrance["KAFKA_KEY_FILE"],
        }

    def _answers(self) -> bool:
        try:
            found = AdminClient(self.as_admin() | {"log_level": "0"}).list_topics(timeout=5).brokers
        except KafkaException:
            return False
        return len(found) == sum(child.running() for child in self.children)


class SecureLine(Line):
    """A line whose processes come in by one door, each as its own role."""

    def __init__(self, cluster: SecureCluster, door: str, prefix: str, folder: Path, **settings: str) -> None:
        super().__init__(cluster.bootstrap(door), prefix, folder, **settings)
        self._cluster = cluster
        self._door = door
        cluster.run("deploy.kafka.acls", "--apply", TOPIC_PREFIX=prefix)

    def _process(self, name: str, arguments: tuple[str, ...], port: int, **more: str) -> Process:
        entrance = self._cluster.entrance(arguments[-1], self._door)
        return super()._process(name, arguments, port, **(entrance | more))


def _without_ours() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("KAFKA_", "TOPIC_PREFIX"))}
