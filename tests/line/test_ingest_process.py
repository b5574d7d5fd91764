"""Ingest as the process it is: its one-line refusals, its death and its stop, one process or several; without Kafka."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.kafka import free_port
from ingest.frames import read_frames
from ingest.wire import decode
from tests.line.ingest_line import read_answer, until

NOWHERE = "127.0.0.1:9"


def environment(folder: Path, port: int, settings: dict[str, str]) -> dict[str, str]:
    mine = {
        "KAFKA_BOOTSTRAP": NOWHERE,
        "DATA_DIR": str(folder),
        "INGEST_PORT": str(port),
        "INGEST_SPOOL_MIN_FREE_MIB": "0",
    }
    return {**os.environ, **mine, **settings}


async def launched(folder: Path, port: int, *words: str, **settings: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "ingest", *words)
    return await asyncio.create_subprocess_exec(
        *command, env=environment(folder, port, settings), stderr=asyncio.subprocess.PIPE
    )


@asynccontextmanager
async def running(folder: Path, port: int, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ingest until the end of the block; it is ready in it."""
    process = await launched(folder, port, **settings)
    try:
        await until_status(port, b"/ready", 200)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_status(port: int, target: bytes, wanted: int | None) -> None:
    async with asyncio.timeout(60):
        while await status(port, target) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def status(port: int, target: bytes) -> int | None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return (await read_answer(reader)).status
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        return None
    finally:
        writer.close()


def on_disk(folder: Path) -> list[int]:
    """The numbers of all beacons in all spool folders."""
    values = [frame.value for path in folder.glob("spool/*/*.seg") for frame in read_frames(path.read_bytes()).frames]
    lines = [line for value in values for line in value.split(b"\n")]
    return sorted(int(decode(line).query.rpartition(b"=")[2]) for line in lines)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"INGEST_PROT": "1"}, "ingest: INGEST_PROT is no setting of ingest; the nearest one is INGEST_PORT\n"),
        (
            {"AIOHTTP_NO_EXTENSIONS": "1"},
            "ingest: aiohttp runs without its C parser: install a wheel, and unset AIOHTTP_NO_EXTENSIONS\n",
        ),
        ({"INGEST_SPOOL_DIR": "/proc/nowhere"}, "ingest: INGEST_SPOOL_DIR /proc/nowhere: No such file or directory\n"),
    ],
)
async def test_what_can_not_start_says_why_in_one_line(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    process = await launched(tmp_path, free_port(), **settings)
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, stderr.decode()) == (1, says)


async def test_an_id_that_is_no_name_is_not_forgotten(tmp_path: Path) -> None:
    process = await launched(tmp_path, free_port(), "forget", "edge-1")
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    says = "ingest: 'edge-1' is no name of an ingest: `python -m pipeline status` prints them, as edge-1.0\n"
    assert (process.returncode, stderr.decode()) == (1, says)


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_port_that_is_taken_is_named(tmp_path: Path, processes: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await launched(tmp_path, port, INGEST_PROCESSES=processes)
        _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert f"ingest: port {port} on 127.0.0.1: " in stderr.decode().splitlines()[-1]


async def test_killed_at_any_moment_it_keeps_every_beacon_that_it_answered(tmp_path: Path) -> None:
    port = free_port()
    answered: list[int] = []
    for start in range(0, 3000, 1000):
        async with running(tmp_path, port) as process:
            sending = asyncio.gather(*(send(port, start + n, answered) for n in range(500)))
            await until(lambda: sum(number >= start for number in answered) >= 30, 60)  # noqa: B023
            process.kill()
            await sending
    assert set(answered) <= set(on_disk(tmp_path))


async def send(port: int, number: int, answered: list[int]) -> None:
    if await status(port, b"/collect?sessionId=s%d&n=%d" % (number % 20, number)) == 200:
        answered.append(number)


async def test_sigterm_answers_what_was_read_and_ends_in_time(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port, INGEST_ANSWER_MS="9000") as process:
        # One that never finishes its request must not hold the stop up.
        _, stuck = await asyncio.open_connection("127.0.0.1", port)
        stuck.write(b"POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        answered: list[int] = []
        sending = asyncio.gather(*(send(port, n, answered) for n in range(200)))
        await until(lambda: len(answered) >= 20, 60)
        start = time.monotonic()
        process.terminate()
        await sending
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert time.monotonic() - start < 20
        stuck.close()
    assert sorted(answered) == on_disk(tmp_path)


# The process itself, with a stop that never ends.
HANGS = """
import asyncio
import ingest.__main__
from ingest.process import Process
ingest.__main__._STOP_SECONDS = 0.5
async def hangs(self):
    await asyncio.Event().wait()
Process.stop = hangs
raise SystemExit(ingest.__main__.main())
"""


async def test_a_stop_that_hangs_says_where_and_ends(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HANGS, env=environment(tmp_path, port, {}), stderr=asyncio.subprocess.PIPE
    )
    try:
        await until_status(port, b"/ready", 200)
        process.terminate()
        _, stderr = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert process.returncode == 1
    assert re.search(r"stop_hangs in=.*serve:\d+ > hangs:7 > Event\.wait:\d+", stderr.decode()), stderr.decode()


async def test_several_processes_share_the_port_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    port = free_port()
    admin = free_port(2)
    async with running(tmp_path, port, INGEST_PROCESSES="2", INGEST_ADMIN_PORT=str(admin)) as parent:
        await until(lambda: count_folders(tmp_path) == 2, 60)
        for number in (0, 1):
            await until_status(admin + number, b"/metrics", 200)
        first, _ = children_of(parent.pid)
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(set(children_of(parent.pid)) - {first}) == 2, 60)
        answered: list[int] = []
        await asyncio.gather(*(send(port, n, answered) for n in range(100)))
        assert answered
        parent.terminate()
        assert await asyncio.wait_for(parent.wait(), 20) == 0
        assert set(answered) <= set(on_disk(tmp_path))
    assert await status(port, b"/health") is None


async def test_children_do_not_outlive_their_parent(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port, INGEST_PROCESSES="2") as parent:
        await until(lambda: count_folders(tmp_path) == 2, 60)
        parent.kill()
        await until_status(port, b"/health", None)


def count_folders(folder: Path) -> int:
    return len(list(folder.glob("spool/*/id")))


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
