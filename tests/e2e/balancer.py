"""A TCP balancer as operators put one before ingests: it asks who is ready, and tries the next where nobody listens."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

import aiohttp

from tests.e2e.line import Process

ASK_SECONDS = 0.1
GIVE_UP_SECONDS = 5.0


class Balancer:
    """Carries each connection to one of the processes that are ready.

    Attributes:
        unserved: connections for which none was found in time.
    """

    def __init__(self, port: int, backends: Sequence[Process]) -> None:
        self.port = port
        self.unserved = 0
        self._backends = backends
        self._ready: set[str] = set()
        self._turns = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
                while True:
                    await asyncio.gather(*(self._ask(session, backend) for backend in self._backends))
                    await asyncio.sleep(ASK_SECONDS)
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, session: aiohttp.ClientSession, backend: Process) -> None:
        try:
            async with session.get(f"{backend.url}/ready") as answer:
                is_ready = answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            is_ready = False
        (self._ready.add if is_ready else self._ready.discard)(backend.url)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        found = await self._connected()
        if found is None:
            self.unserved += 1
            writer.close()
            return
        await asyncio.gather(_pump(reader, found[1]), _pump(found[0], writer))

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        give_up = asyncio.get_running_loop().time() + GIVE_UP_SECONDS
        while asyncio.get_running_loop().time() < give_up:
            backend = self._backends[next(self._turns) % len(self._backends)]
            if backend.url in self._ready:
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection("127.0.0.1", int(backend.url.rpartition(":")[2]))
            await asyncio.sleep(0.01)
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way to their end; an end is passed on, and so is a reset."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        writer.transport.abort()
    finally:
        writer.close()
