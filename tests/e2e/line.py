"""One line on the shared broker: its own topics, folder and ports, and its processes one by one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.child import Child, Launch, url_answers
from deploy.local.kafka import free_port
from tests.e2e.wait import until

REPO = Path(__file__).parents[2]
TAIL_LINES = 15
# The shortest silence that the worker's settings allow before others take over: faults heal sooner.
SESSION_SECONDS = 6
# Of an ingest that waits for a slow Kafka instead of spooling meanwhile: what it spools, Kafka may have as well, and
# the worker then finds a repeat that no player sent.
PATIENT = {"INGEST_KAFKA_MS": "30000", "INGEST_ANSWER_MS": "40000"}


class Process:
    """A process of a line over all its starts."""

    def __init__(self, name: str, arguments: tuple[str, ...], environment: dict[str, str], port: int, log: Path):
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        launch = Launch((sys.executable, "-m", *arguments), environment, url_answers(f"{self.url}/ready"))
        self._child = Child(name, lambda: launch, log, stop_seconds=20)

    async def start(self) -> Process:
        """Start it and wait until it is ready."""
        self.start_only()
        return await self.ready()

    def start_only(self) -> Process:
        """Start it and do not wait."""
        # From the main thread alone: a child dies with the thread that started it.
        self._child.start()
        return self

    async def ready(self, seconds: float = 120) -> Process:
        await until(lambda: self._child.ready() or self._has_died(), seconds, f"{self.name} is ready")
        assert self._child.running(), f"{self.name} ended: {self.last_lines()}"
        return self

    def kill(self) -> None:
        """End it at once (kill -9)."""
        self._child.finish(0)

    async def stop(self, seconds: float = 60, *, as_it_starts: bool = False) -> None:
        """Ask it to end (SIGTERM) and see that it does, with exit code 0, or by the signal where it may just start."""
        self._child.ask_to_stop()
        await until(lambda: not self._child.running(), seconds, f"{self.name} stops")
        code = self._child.exit_code()
        self._child.finish(0)
        in_order = (0, None, -signal.SIGTERM) if as_it_starts else (0, None)
        assert code in in_order, f"{self.name} ended with {code}: {self.last_lines()}"

    def freeze(self) -> None:
        """Stop its time (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._child.running()

    @property
    def pid(self) -> int:
        assert self._child.pid is not None, f"{self.name} does not run"
        return self._child.pid

    def last_lines(self) -> str:
        """Return the end of its log, for a failure."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-TAIL_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def _has_died(self) -> bool:
        return not self._child.running()


class Line:
    """What `make run` runs, but process by process."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, **settings: str) -> None:
        self.prefix = prefix
        self.bootstrap = bootstrap
        self.folder = folder
        self.settings = settings
        self.spools = folder / "spool"
        self.ingest_port = free_port()
        self.report_port = free_port()
        self.processes: dict[str, Process] = {}
        (folder / "log").mkdir(parents=True)

    @property
    def ingest_url(self) -> str:
        return f"http://127.0.0.1:{self.ingest_port}"

    @property
    def report_url(self) -> str:
        return f"http://127.0.0.1:{self.report_port}"

    def ingest(self, name: str = "ingest", port: int | None = None, **settings: str) -> Process:
        port = port or self.ingest_port
        more = {"INGEST_PORT": str(port), "INGEST_SPOOL_DIR": str(self.spools / name)}
        return self._process(name, ("ingest",), port, **(more | settings))

    def report(self, name: str = "report", port: int | None = None, **settings: str) -> Process:
        port = port or self.report_port
        more = {"REPORT_PORT": str(port), "REPORT_STORE": str(self.folder / name / "report.sqlite")}
        # A question may wait for the machine: what is tested is its answer.
        more |= {"REPORT_DEADLINE_MS": "60000", "REPORT_SCAN_DEADLINE_MS": "60000"}
        return self._process(name, ("pipeline", "report"), port, **(more | settings))

    def worker(self, name: str, **settings: str) -> Process:
        port = free_port()
        more = {
            "WORKER_ID": name,
            "WORKER_PORT": str(port),
            "WORKER_STATE_DIR": str(self.state_folder(name)),
            "WORKER_SESSION_TIMEOUT_MS": str(SESSION_SECONDS * 1000),
        }
        return self._process(name, ("pipeline", "worker"), port, **(more | settings))

    async def topics(self) -> None:
        """Create the topics, as `make run` does."""
        made = self._process("topics", ("pipeline", "topics"), 0).start_only()
        await until(lambda: not made.running, 120, "the topics are there")
        await made.stop()

    async def start(self, workers: int = 1, **settings: str) -> list[Process]:
        """Start all of it and return the workers, which have these settings."""
        await self.topics()
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        crew = [self.worker(name, **settings) for name in names]
        everything = [self.ingest(), *crew, self.report()]
        for process in everything:
            process.start_only()
        for process in everything:
            await process.ready()
        return crew

    def state_folder(self, worker: str) -> Path:
        return self.folder / "state" / worker

    def wipe_state(self, worker: str) -> None:
        """Take a stopped worker's local state away."""
        shutil.rmtree(self.state_folder(worker), ignore_errors=True)

    def close(self) -> None:
        """End whatever still runs."""
        for process in self.processes.values():
            process.kill()

    def logs(self) -> Iterator[str]:
        """Yield the end of every log, for a failure."""
        for process in self.processes.values():
            yield f"--- {process.name} ---\n{process.last_lines()}"

    def _process(self, name: str, arguments: tuple[str, ...], port: int, **more: str) -> Process:
        ours = ("INGEST_", "WORKER_", "REPORT_", "KAFKA_", "TOPIC_PREFIX", "PARTITIONS", "DATA_DIR")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        environment |= {
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "TOPIC_PREFIX": self.prefix,
            "DATA_DIR": str(self.folder),
            "PYTHONPATH": str(REPO),
            "PYTHONUNBUFFERED": "1",
            **self.settings,
            **more,
        }
        process = Process(name, arguments, environment, port, self.folder / "log" / f"{name}.log")
        self.processes[name] = process
        return process
