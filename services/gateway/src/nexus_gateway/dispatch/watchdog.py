"""A limit on silence that costs nothing per message: one timer looks now and then whether it was kept."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

__all__ = ["Watchdog"]


class Watchdog:
    """Barks once, if a wait that was announced lasts longer than its limit. Must be closed."""

    __slots__ = ("_bark", "_due", "_loop", "_timer", "expired")

    def __init__(self, bark: Callable[[], None]) -> None:
        self._bark = bark
        self._due = math.inf
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def wait(self, limit: float) -> None:
        """From now on a wait is on, allowed to last `limit` seconds."""
        self._due = due = self._loop.time() + limit
        if self._timer is None or self._timer.when() > due:
            self._look_at(due)

    def rest(self) -> None:
        """The wait is over. The timer stays: the next wait will use it."""
        self._due = math.inf

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, when: float) -> None:
        self.close()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() >= self._due:
            self.expired = True
            self._bark()
        elif self._due < math.inf:
            self._look_at(self._due)
