"""Ingest as the process it is, without what it needs: files, or a Kafka that can be reached; it lives and says so."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from deploy.local.kafka import free_port
from tests.line.ingest_line import until
from tests.line.test_ingest_process import environment, running, status, until_status

# The process itself, only that it looks for spools without an owner as often as a test wants.
SOON = """
import ingest.drain
from ingest.__main__ import main
ingest.drain._ORPHANS_EVERY_SECONDS = 0.05
raise SystemExit(main())
"""
FILES = 96


async def test_clients_that_take_every_file_end_nothing(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SOON,
        env=environment(tmp_path, port, {}),
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
    )
    try:
        await until_status(port, b"/ready", 200)
        for _ in range(4):
            crowd = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(200)))
            # Each goes when ingest has closed it, as late as may be, and not before.
            async with asyncio.timeout(120):
                await asyncio.gather(*(reader.read() for reader, _ in crowd), return_exceptions=True)
            for _, writer in crowd:
                writer.transport.abort()
        await until_status(port, b"/collect?n=1", 200)
        await until_status(port, b"/ready", 200)
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_why_kafka_cannot_be_reached_is_said_at_the_start(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port, KAFKA_BOOTSTRAP="127.0.0.1:9") as process:
        assert process.stderr is not None
        said = ""
        async with asyncio.timeout(60):
            while "kafka_away" not in said:
                said = (await process.stderr.readline()).decode()
                assert said, "it ended"
        assert "127.0.0.1:9" in said
        assert "refused" in said
        assert await status(port, b"/ready") == 200
    await until(lambda: process.returncode is not None)
