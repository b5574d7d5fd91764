"""A Kafka of the bench's own: the node of `make run` in a folder and on a port of its own, and questions to it."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from deploy.local import kafka as local

# A JVM of its own, on a machine that has just been busy.
START_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Broker:
    """A running Kafka."""

    bootstrap: str
    data: Path
    process: subprocess.Popen[bytes]
    admin: AdminClient

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(folder: Path) -> Broker:
    """Start the Kafka that `make run` starts, with an empty log in `folder`, and wait until it answers."""
    shutil.rmtree(folder, ignore_errors=True)
    local.fetch()
    node = local.Node(folder, local.free_port())
    with (folder.parent / "kafka.log").open("wb") as log:
        process = subprocess.Popen(node.command(), stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS
    while not node.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"Kafka did not start within {START_SECONDS} s: see {folder.parent / 'kafka.log'}")
        time.sleep(0.05)
    return Broker(
        node.bootstrap, folder / "data", process, AdminClient({"bootstrap.servers": node.bootstrap, "log_level": 0})
    )


def create(broker: Broker, topic: str, partitions: int, **settings: str) -> None:
    """Create a topic; one of that name must not be there."""
    made = broker.admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])
    for future in made.values():
        future.result(30)


def delete(broker: Broker, topics: list[str]) -> None:
    """Delete topics, so that their files do not fill the disk while others are measured."""
    for future in broker.admin.delete_topics(topics).values() if topics else ():
        future.result(30)


def end_offsets(broker: Broker, topic: str) -> dict[int, int]:
    """Return the high water mark of each partition of a topic."""
    partitions = broker.admin.list_topics(topic, timeout=10).topics[topic].partitions
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}
    return {at.partition: future.result(10).offset for at, future in broker.admin.list_offsets(asked).items()}


def log_bytes(broker: Broker, topic: str) -> int:
    """Return the bytes of a topic's segments on disk."""
    return sum(file.stat().st_size for file in broker.data.glob(f"{topic}-[0-9]*/*.log"))


def settings_of(broker: Broker, topic: str) -> dict[str, str]:
    """Return a topic's settings as the broker says them."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = broker.admin.describe_configs([resource])[resource].result(10)
    return {name: entry.value for name, entry in entries.items()}
