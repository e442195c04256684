"""When another candidate may be tried, and how often: decided by the reason, bounded by a budget."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

from nexus_mesh.core import Reason

from nexus_gateway.fleet.breaker import FAILURES

__all__ = ["RETRYABLE", "RetryBudget"]

# Generating has no side effects, so it may be repeated for as long as nothing of it reached the client.
RETRYABLE = frozenset(
    {
        Reason.BACKEND_DOWN,
        Reason.BACKEND_LOST,
        Reason.DRAINING,
        Reason.MODEL_NOT_FOUND,
        Reason.MODEL_NOT_READY,
        Reason.OVERLOAD,
        Reason.RATE_LIMIT,
        Reason.STREAM_IDLE_TIMEOUT,
        Reason.UPSTREAM_ERROR,
        Reason.UPSTREAM_MALFORMED,
    }
)

WINDOW = 10.0
SHARE = 0.2
LEAST = 2 * FAILURES
"""However quiet it is: whoever fails must be found out before the budget is spent on it, twice over."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Upper ends of the random pause before the third attempt, and before any."""


class RetryBudget:
    """At most a fifth of the last ten seconds' requests may be tried again, or ten if that is more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[list[float]] = deque()  # [start, requests, retries], one per second that had any
        self._requests = 0.0
        self._retries = 0.0

    def count_request(self) -> None:
        self._slide()[1] += 1
        self._requests += 1

    def take(self) -> bool:
        """Takes one retry; False when the budget is spent."""
        second = self._slide()
        if self._retries + 1 > max(LEAST, SHARE * self._requests):
            return False
        second[2] += 1
        self._retries += 1
        return True

    async def pause(self, attempts: int) -> None:
        """Waits before a further attempt: not before the first one, which goes to somebody else at once."""
        if attempts > 1:
            await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 2))))

    def _slide(self) -> list[float]:
        now = self._clock()
        while self._seconds and self._seconds[0][0] <= now - WINDOW:
            _, requests, retries = self._seconds.popleft()
            self._requests -= requests
            self._retries -= retries
        if not self._seconds or self._seconds[-1][0] <= now - 1:
            self._seconds.append([now, 0.0, 0.0])
        return self._seconds[-1]
