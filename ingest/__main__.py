"""`python -m ingest`: one process, or with INGEST_PROCESSES a parent and its children on one port.

`python -m ingest forget NAME` takes the name of an ingest whose disk is lost out of `ingests`, so that the report
counts on past it; what lay in its spool is given up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from time import monotonic, sleep

import uvloop

from ingest import logs, supervisor
from ingest.config import CHILD_VARIABLE, Config, WrongSetting, from_environment
from ingest.machine import CannotStart, check_parser, claim_folder, end_with_parent, end_within
from ingest.process import Process
from ingest.segments import Segments
from ingest.sink import Sink
from ingest.tracing import CannotTrace, Spans, spans_for

log = logging.getLogger("ingest")

# What an ingest calls itself: its INGEST_ID with its number among the processes that share it, or what it drew.
_NAME = re.compile(r".+\.\d+|ingest-[0-9a-f]{8}")
_FORGET_SECONDS = 10.0
# An orderly stop takes 16 at most; the supervisor waits for 19.
_STOP_SECONDS = 18.0
_LOOK_SECONDS = 0.05


async def serve(config: Config, spans: Spans) -> None:
    """Run one ingest process until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    folder = claim_folder(config.spool_dir, config.ingest_id or "ingest")
    segments = Segments(folder.path, config.ingest_spool_segment_kib << 10)
    try:
        await asyncio.to_thread(segments.recover)
    except OSError as error:
        raise CannotStart(f"spool folder {folder.path} can not be read: {error}") from error
    process = Process(config, folder, segments, Sink(config), spans)
    port = await process.start(int(os.environ.get(CHILD_VARIABLE, "0").split()[0]))
    log.info("started name=%s address=http://%s:%d folder=%s", process.name, config.ingest_host, port, folder.path)
    await stopped.wait()
    end_within(config.ingest_stop_delay_seconds + _STOP_SECONDS, loop)
    await process.stop()
    log.info("stopped name=%s answered=%d", process.name, process.ledger.answered)


def forget(config: Config, name: str) -> int:
    """Take a name out of `ingests`; return the exit code."""
    if not _NAME.fullmatch(name):
        raise CannotStart(f"{name!r} is no name of an ingest: `python -m pipeline status` prints them, as edge-1.0")
    sink = Sink(config)
    errors: list[str | None] = []
    sink.beat(name.encode(), None, errors.append)
    until = monotonic() + _FORGET_SECONDS
    while not errors and monotonic() < until:
        sink.poll()
        sleep(_LOOK_SECONDS)
    if errors != [None]:
        raise CannotStart(f"Kafka did not take it: {errors[0] if errors else 'no answer'}")
    print(f"ingest: {name} is forgotten")
    return 0


def main() -> int:
    """Return the exit code."""
    try:
        config = from_environment()
        logs.start(config.log_format)
        match sys.argv[1:]:
            case []:
                pass
            case ["forget", name]:
                return forget(config, name)
            case _:
                raise CannotStart("usage: python -m ingest [forget NAME]; all settings are environment variables")
        check_parser()
        if config.ingest_processes > 1 and CHILD_VARIABLE not in os.environ:
            return supervisor.run(config)
        if CHILD_VARIABLE in os.environ:
            end_with_parent(int(os.environ[CHILD_VARIABLE].split()[1]))
        spans = spans_for("playback-ingest", os.environ)
        try:
            uvloop.run(serve(config, spans))
        finally:
            spans.close()
    except (WrongSetting, CannotStart, CannotTrace) as error:
        print(f"ingest: {error}", file=sys.stderr)
        return supervisor.CANNOT_START_CODE if CHILD_VARIABLE in os.environ else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
