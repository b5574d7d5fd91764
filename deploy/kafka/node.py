"""A node of a cluster that lets nobody in without a certificate or a password: settings, format, start command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "cGxheWJhY2tfY2x1c3Rlcg"
SETTINGS = {
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    "group.initial.rebalance.delay.ms": "200",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "log.segment.bytes": str(128 << 20),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}


class NotFormatted(Exception):
    """The node cannot start; the text says why."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a node listens.

    Attributes:
        scram: for clients with a password, over TLS.
        mutual: for clients and brokers with a certificate.
        controller: among the controllers, with certificates.
    """

    scram: int
    mutual: int
    controller: int


@dataclass(frozen=True, slots=True)
class SecureNode:
    """One node: broker and controller.

    Attributes:
        number: 1, 2, ...; the place in `cluster`.
        cluster: the ports of every node.
        certificates: folder with ca.pem and broker.keystore.pem.
        java: the start of every Kafka command, class path included.
    """

    number: int
    cluster: tuple[Ports, ...]
    folder: Path
    certificates: Path
    java: tuple[str, ...]
    host: str = "127.0.0.1"

    def command(self) -> tuple[str, ...]:
        """Write the settings, format the folder if it never was, and return what starts the node."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "server.properties"
        settings.write_text("".join(f"{name}={value}\n" for name, value in self.settings().items()))
        if not (self.folder / "data" / "meta.properties").exists():
            tool = ("kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config", str(settings))
            done = subprocess.run((*self.java, *tool), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise NotFormatted(done.stderr.strip() or done.stdout.strip())
        return (*self.java, "kafka.Kafka", str(settings))

    def settings(self) -> dict[str, str]:
        """Return server.properties."""
        own = self.cluster[self.number - 1]
        copies = str(min(3, len(self.cluster)))
        in_sync = str(max(1, min(3, len(self.cluster)) - 1))
        voters = ",".join(f"{number}@{self.host}:{ports.controller}" for number, ports in enumerate(self.cluster, 1))
        return {
            **SETTINGS,
            "process.roles": "broker,controller",
            "node.id": str(self.number),
            "controller.quorum.voters": voters,
            "listeners": f"SCRAM://{self.host}:{own.scram},MUTUAL://{self.host}:{own.mutual},"
            f"CONTROLLER://{self.host}:{own.controller}",
            "advertised.listeners": f"SCRAM://{self.host}:{own.scram},MUTUAL://{self.host}:{own.mutual}",
            "listener.security.protocol.map": "SCRAM:SASL_SSL,MUTUAL:SSL,CONTROLLER:SSL",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "MUTUAL",
            "log.dirs": str(self.folder / "data"),
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            **self._doors(),
        }

    def _doors(self) -> dict[str, str]:
        """Return who is let in, and that nobody may do what was not allowed."""
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates / "broker.keystore.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates / "ca.pem"),
            "ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": scram,
            # The name in a certificate is the same user as the one with the password.
            "ssl.principal.mapping.rules": "RULE:^CN=([a-z]+)$/$1/,DEFAULT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:broker;User:admin",
        }
