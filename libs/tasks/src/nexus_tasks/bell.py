"""Waking those who wait for a change that this process made."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["Bell", "heard"]


class Bell:
    """Whoever takes `next()` before he looks misses no ring after his look."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        return self._next


async def heard(ring: asyncio.Event, seconds: float) -> None:
    """Returns at the ring, or after that time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ring.wait()
