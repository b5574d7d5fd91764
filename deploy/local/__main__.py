"""`make run`: checks what is needed, starts the line, says where it is, and stays until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from deploy.local import kafka, page, prerequisites
from deploy.local.child import Child, Launch, url_answers
from deploy.local.settings import Settings
from deploy.local.supervisor import CannotStart, StopAsked, Supervisor

STOP_SECONDS = 19.0


class Refused(Exception):
    """A port or the folder cannot be had; the text is the line to print."""


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def require_ports(settings: Settings) -> None:
    """Refuse a port that is taken."""
    wanted = {
        "INGEST_PORT": (settings.ingest_host, settings.ingest_port),
        "REPORT_PORT": (settings.report_host, settings.report_port),
        "KAFKA_PORT": ("127.0.0.1", settings.kafka_port),
    }
    if len({port for _, port in wanted.values()}) < len(wanted):
        raise Refused("INGEST_PORT, REPORT_PORT and KAFKA_PORT must be three different ports")
    for name, (host, port) in wanted.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            # As the servers do: a port whose last connections are still fading is not taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise Refused(
                    f"Port {port} of {host} cannot be had ({os.strerror(error.errno or 0)}): "
                    f"stop what uses it, or name another, as in `make run {name}={port + 1000}`"
                ) from error


def hold(folder: Path) -> int:
    """Take the folder for ourselves while we live."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Refused(
            f"{folder} is in use by another `make run`: stop that one, or name another folder, "
            "as in `make run DATA_DIR=./var2` with other ports"
        ) from error
    except OSError as error:
        raise Refused(f"DATA_DIR {folder} cannot be used ({error.strerror}): name another folder") from error
    return lock


def python(settings: Settings, *arguments: str, port: int, host: str = "127.0.0.1", **environment: str) -> Launch:
    """Return the start of one of our own modules, which answers /ready on this port."""
    reached = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return Launch(
        (sys.executable, "-m", *arguments),
        settings.environment() | environment,
        url_answers(f"http://{reached}:{port}/ready"),
    )


def worker(settings: Settings, name: str) -> Launch:
    """Return a worker's start, with a port of its own that is free now."""
    port = kafka.free_port()
    return python(settings, "pipeline", "worker", port=port, WORKER_ID=name, WORKER_PORT=str(port))


def run(settings: Settings, supervisor: Supervisor) -> None:
    """Start the stages in order, stay, and stop them in order."""
    data = settings.data_dir.resolve()
    logs = data / "log"
    logs.mkdir(parents=True, exist_ok=True)

    node = kafka.Node(data / "kafka", settings.kafka_port)
    child = partial(_child, logs)
    broker = child("kafka", lambda: Launch(node.command(), dict(os.environ), node.answers), 6.0)
    topics = child("topics", lambda: python(settings, "pipeline", "topics", port=0), 1.0)
    ingest = child(
        "ingest",
        lambda: python(settings, "ingest", port=settings.ingest_port, host=settings.ingest_host),
        6.0,
    )
    workers = [
        child(name, partial(worker, settings, name), 5.0)
        for name in (f"worker-{number}" for number in range(1, settings.workers + 1))
    ]
    # Everybody's own keys go before the demo's.
    key = "" if "REPORT_KEYS" in os.environ else page.demo_key(data)
    reporting = {"REPORT_ASSETS": str(page.unpack_assets())} | ({"REPORT_KEYS": str(data / "keys.json")} if key else {})
    report = child(
        "report",
        lambda: python(
            settings, "pipeline", "report", port=settings.report_port, host=settings.report_host, **reporting
        ),
        2.0,
    )
    began = time.monotonic()
    try:
        say(f"Starting Kafka, 1 ingest, {settings.workers} workers and 1 report; their logs are in {logs}")
        supervisor.start([broker])
        supervisor.once(topics)
        supervisor.start([ingest, *workers, report])
        say(_ready(settings, key, time.monotonic() - began))
        supervisor.watch()
    finally:
        say("Stopping")
        supervisor.stop([[topics], [ingest], workers, [report], [broker]], STOP_SECONDS)


def _child(logs: Path, name: str, launch: Callable[[], Launch], stop_seconds: float) -> Child:
    return Child(name, launch, logs / f"{name}.log", stop_seconds)


def _ready(settings: Settings, key: str, seconds: float) -> str:
    """Return what a stranger needs: addresses, one beacon to send, where it is seen."""
    ingest = f"http://127.0.0.1:{settings.ingest_port}"
    report = f"http://127.0.0.1:{settings.report_port}"
    bearer = f"-H 'Authorization: Bearer {key}' " if key else ""
    signing = f"\n  key     {key} (sign in on the page with it)" if key else ""
    event = "eventType=3&partnerId=4242&entryId=1_first&sessionId=first&eventIndex=1"
    return f"""Ready after {seconds:.0f} s
  ingest  {ingest}
  report  {report} (a page for people at /){signing}
  Kafka   127.0.0.1:{settings.kafka_port}
Send a play (the same beacon again changes nothing; another sessionId is another play):
  curl '{ingest}/api_v3/index.php?service=analytics&action=trackEvent&{event}'
See it counted two seconds later:
  curl {bearer}'{report}/v1/report?partnerId=4242&window=1m&by=time,entry'
Ctrl-C stops everything."""


def main() -> int:
    """Return 0 after a stop, 1 where the line did not start, 2 where something is missing."""
    try:
        settings = Settings()
        prerequisites.require_java()
        require_ports(settings)
        lock = hold(settings.data_dir)
        kafka.fetch()
    except ValidationError as error:
        first = error.errors()[0]
        print(f"{str(first['loc'][0]).upper()}: {first['msg']} ({first['input']!r})", file=sys.stderr)
        return 2
    except (Refused, kafka.NotFetched, prerequisites.Missing) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        run(settings, Supervisor(say))
    except StopAsked:
        say("Stopped")
        return 0
    except (CannotStart, kafka.NotFetched) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
