"""Waiting for a condition, never for a time; what did not come true is said loudly."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


async def until(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float, what: str, every: float = 0.05
) -> float:
    """Return after how many seconds it came true.

    Raises:
        AssertionError: it did not within the time.
    """
    began = time.monotonic()
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(every)


@dataclass(slots=True)
class Stalls:
    """For how long the machine, or this process, stood still: a bound in seconds knows nothing of such a time.

    Attributes:
        seconds: of all standstills of over half a second.
    """

    seconds: float = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.1)
            late = time.monotonic() - began - 0.1
            self.seconds += late if late > 0.5 else 0.0
