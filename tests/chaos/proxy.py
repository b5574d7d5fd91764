"""A TCP proxy on the port that Kafka advertises, which understands a request's api_key and can be late with it.

A held request is late, not lost: it reaches Kafka after its time, even if its sender has left long ago, and what
the sender says meanwhile over another connection overtakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from enum import IntEnum

ANSWER_SECONDS = 10


class Api(IntEnum):
    """The requests that a transaction is made of."""

    PRODUCE = 0
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS = 24
    END_TXN = 26


class Hold:
    """The next request of some kind is late.

    Attributes:
        api: its kind.
        seconds: how late it is at most.
        cut: its connection is closed under its sender, who tries again over another at once.
        overtaken_by: it waits only until this many requests of that kind went past it and were answered.
        behind: it is the second one of its kind after that hold began, and waits only until that one is delivered.
        delivered: set when Kafka has it and has answered, or has closed the connection.
    """

    def __init__(
        self,
        api: Api,
        seconds: float,
        cut: bool = False,
        overtaken_by: tuple[Api, int] | None = None,
        behind: Hold | None = None,
    ) -> None:
        self.api = api
        self.seconds = seconds
        self.cut = cut
        self.held = False
        self.delivered = asyncio.Event()
        self._overtaken_by = overtaken_by
        self._behind = behind
        self._let_through = 0 if behind is None else 1
        self._release = asyncio.Event()
        self._passed = 0

    def takes(self, api: int) -> bool:
        """Tell whether this request is the one."""
        if api != self.api or self.held or (self._behind is not None and not self._behind.held):
            return False
        if self._let_through:
            self._let_through -= 1
            return False
        self.held = True
        return True

    def passed(self, api: int) -> None:
        """Take notice that a request went past the held one, and was answered."""
        if self.held and self._overtaken_by is not None and api == self._overtaken_by[0]:
            self._passed += 1
            if self._passed >= self._overtaken_by[1]:
                self._release.set()

    async def wait(self) -> None:
        """Wait as long as the request is to be late."""
        release = self._release if self._behind is None else self._behind.delivered
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(release.wait(), self.seconds)


class Proxy:
    """Carries connections from one port to another."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.requests: Counter[int] = Counter()
        self.holds: list[Hold] = []
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port, limit=1 << 22)

    async def close(self) -> None:
        """Listen no more and drop what is open."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self, hold: Hold) -> Hold:
        """Be late with one request."""
        self.holds.append(hold)
        return hold

    async def _carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _Pair(self, client, to_client).run(self._target)
        except asyncio.CancelledError:
            # Only close() cancels; asyncio's own callback would log it as a fault.
            return
        finally:
            self._tasks.discard(task)


class _Pair:
    """One connection of a client and its counterpart to Kafka."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._to_client = to_client
        self._asked: dict[int, tuple[int, Hold | None]] = {}

    async def run(self, target: int) -> None:
        try:
            kafka, to_kafka = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            self._to_client.transport.abort()
            return
        back = asyncio.ensure_future(self._answers(kafka))
        try:
            await self._requests(to_kafka)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # One side is gone; the other is told below.
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            to_kafka.transport.abort()
            self._to_client.transport.abort()

    async def _requests(self, to_kafka: asyncio.StreamWriter) -> None:
        while True:
            size = await self._client.readexactly(4)
            body = await self._client.readexactly(struct.unpack(">i", size)[0])
            api, _, correlation = struct.unpack(">hhi", body[:8])
            self._proxy.requests[api] += 1
            hold = next((hold for hold in self._proxy.holds if hold.takes(api)), None)
            self._asked[correlation] = (api, hold)
            if hold is not None:
                if hold.cut:
                    self._to_client.transport.abort()
                await hold.wait()
            to_kafka.write(size + body)
            await to_kafka.drain()
            if hold is not None and hold.cut:
                # Nobody else waits for the answer, and it says that Kafka has acted.
                await asyncio.wait_for(hold.delivered.wait(), ANSWER_SECONDS)

    async def _answers(self, kafka: asyncio.StreamReader) -> None:
        try:
            while True:
                size = await kafka.readexactly(4)
                body = await kafka.readexactly(struct.unpack(">i", size)[0])
                api, hold = self._asked.pop(struct.unpack(">i", body[:4])[0], (-1, None))
                if hold is not None:
                    hold.delivered.set()
                else:
                    for other in self._proxy.holds:
                        other.passed(api)
                self._to_client.write(size + body)
                await self._to_client.drain()
        except (OSError, asyncio.IncompleteReadError):
            # A client that Kafka has left must notice.
            self._to_client.transport.abort()
        finally:
            for _, hold in self._asked.values():
                if hold is not None:
                    hold.delivered.set()
