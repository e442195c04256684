"""Targets that keep failing get nothing for a while, then one request to prove themselves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Breakers"]

FAILURES = 5
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
JITTER = 0.2


@dataclass(slots=True)
class Breaker:
    """Of one target that failed since it last succeeded. `until` 0 = never ejected since then."""

    failures: int = 0
    ejections: int = 0
    until: float = 0.0
    proving: bool = False


class Breakers:
    """By target id. Only targets that failed since their last success are remembered."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    def ejected(self) -> dict[str, str]:
        """Who gets nothing now, and why."""
        if not self._breakers:
            return {}
        now = self._clock()
        return {
            target: f"failed {breaker.failures} times in a row; tried again in a moment"
            for target, breaker in self._breakers.items()
            if breaker.until > now or breaker.proving
        }

    def start(self, target: str) -> bool:
        """A request goes to the target; whether it is the one that decides after an ejection."""
        breaker = self._breakers.get(target)
        if breaker is None or not breaker.until:
            return False
        breaker.proving = True
        return True

    def succeed(self, target: str) -> None:
        self._breakers.pop(target, None)

    def fail(self, target: str) -> None:
        breaker = self._breakers.setdefault(target, Breaker())
        breaker.failures += 1
        if breaker.proving or (breaker.failures >= FAILURES and not breaker.until):
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**breaker.ejections)
            breaker.until = self._clock() + pause * random.uniform(1 - JITTER, 1 + JITTER)
            breaker.ejections = min(breaker.ejections + 1, 10)
            breaker.proving = False

    def abandon(self, target: str) -> None:
        """The request that was to decide ended without telling anything: another may."""
        breaker = self._breakers.get(target)
        if breaker is not None:
            breaker.proving = False

    def retain(self, targets: set[str]) -> None:
        """Forgets whoever is not among the given."""
        for gone in self._breakers.keys() - targets:
            del self._breakers[gone]
