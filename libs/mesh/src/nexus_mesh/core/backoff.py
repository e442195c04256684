"""Waiting between attempts: exponential with jitter, so that many callers do not return together."""

from __future__ import annotations

import asyncio
import random

__all__ = ["Backoff"]


class Backoff:
    """Delays in seconds that grow from `first` to `limit`."""

    def __init__(self, first: float = 0.1, limit: float = 5.0) -> None:
        self._first = first
        self._limit = limit
        self._step = 0

    def reset(self) -> None:
        self._step = 0

    def next(self) -> float:
        ceiling = min(self._limit, self._first * 2 ** min(self._step, 30))
        self._step += 1
        return random.uniform(ceiling / 2, ceiling)

    async def wait(self) -> None:
        await asyncio.sleep(self.next())
