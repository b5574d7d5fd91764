"""Waiting for a condition, never for a time; what did not come true is said loudly."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


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
