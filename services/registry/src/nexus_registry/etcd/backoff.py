"""Exponential backoff with full jitter."""

from __future__ import annotations

import asyncio
import random

FIRST_SECONDS = 0.05
LONGEST_SECONDS = 2.0


class Backoff:
    """Waits a random part of a limit that doubles from FIRST_SECONDS to LONGEST_SECONDS, until `reset`."""

    def __init__(self) -> None:
        self._limit = FIRST_SECONDS

    async def sleep(self) -> None:
        delay = random.uniform(0, self._limit)
        self._limit = min(self._limit * 2, LONGEST_SECONDS)
        await asyncio.sleep(delay)

    def reset(self) -> None:
        self._limit = FIRST_SECONDS
