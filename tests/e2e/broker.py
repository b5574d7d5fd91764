"""A Kafka node for tests: deploy/local's own, with the faults that a test may bring upon it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from deploy.local import kafka
from deploy.local.child import Child, Launch
from tests.e2e.wait import until


class Broker:
    """One node in a folder of its own; its port stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        kafka.fetch()
        folder.mkdir(parents=True, exist_ok=True)
        self.node = kafka.Node(folder, kafka.free_port())
        self._child = Child("kafka", self._launch, folder / "kafka.log", stop_seconds=10)

    @property
    def bootstrap(self) -> str:
        return self.node.bootstrap

    def _launch(self) -> Launch:
        return Launch(self.node.command(), dict(os.environ), self.node.answers)

    async def start(self) -> None:
        self._child.start()
        # Kafka's client waits in its own thread; this loop goes on meanwhile.
        await until(lambda: asyncio.to_thread(self._child.ready), 180, "Kafka serves")

    def kill(self) -> None:
        """End it at once (kill -9); start() brings it back with its data."""
        self._child.finish(0)

    def stop(self) -> None:
        """End it cleanly."""
        self._child.ask_to_stop()
        self._child.finish(10)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._child.pid is not None, "the broker does not run"
        os.kill(self._child.pid, number)
