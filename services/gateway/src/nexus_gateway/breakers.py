"""Targets that fail get nothing for a while, then one request to prove themselves."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Breakers"]

FAILURES = 5
"""In a row, to be ejected."""
LEAST, SHARE, WINDOW = 20, 0.5, 10.0
"""Or: more than half of at least 20 verdicts within ten seconds."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
GONE_PAUSE = 1.0
"""First pause of a target that is not there at all: to look again costs it nothing."""
JITTER = 0.2


@dataclass(slots=True)
class Breaker:
    """Of one target that failed lately. `until` 0 = not ejected since its last success."""

    in_a_row: int = 0
    ejections: int = 0
    until: float = 0.0
    proving: bool = False
    verdicts: deque[tuple[float, bool]] = field(default_factory=deque)
    """When, and whether it failed; of the last ten seconds."""

    def judge(self, now: float, failed: bool) -> None:
        self.verdicts.append((now, failed))
        while self.verdicts[0][0] <= now - WINDOW:
            self.verdicts.popleft()

    @property
    def failures(self) -> int:
        return sum(failed for _, failed in self.verdicts)

    def is_outlier(self) -> bool:
        return len(self.verdicts) >= LEAST and self.failures > SHARE * len(self.verdicts)


class Breakers:
    """By target id. Only targets with a failure in the last ten seconds, or an ejection, are remembered."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}
        self._paused: dict[str, float] = {}

    @property
    def open(self) -> int:
        """How many targets have been ejected and not yet proved themselves."""
        return sum(breaker.until > 0 for breaker in self._breakers.values())

    def ejected(self) -> dict[str, str]:
        """Who gets nothing now, and why."""
        if not self._breakers:
            return {}
        now = self._clock()
        return {
            target: f"failed {max(1, breaker.failures)} times lately; tried again in a moment"
            for target, breaker in self._breakers.items()
            if breaker.until > now or breaker.proving
        }

    def paused(self) -> dict[str, str]:
        """Who asked to get nothing now."""
        if not self._paused:
            return {}
        now = self._clock()
        self._paused = {target: until for target, until in self._paused.items() if until > now}
        return {
            target: f"asked to be left alone for another {until - now:.0f} s"
            for target, until in self._paused.items()
        }

    def soonest(self, targets: Iterable[str]) -> float:
        """Seconds until the first of the targets may be tried again; 0 = now."""
        now = self._clock()
        moments = [
            max(
                self._paused.get(target, 0.0),
                breaker.until if (breaker := self._breakers.get(target)) else 0.0,
            )
            for target in targets
        ]
        return max(0.0, min(moments, default=0.0) - now)

    def start(self, target: str) -> bool:
        """A request goes to the target; whether it is the one that decides after an ejection."""
        breaker = self._breakers.get(target)
        if breaker is None or not breaker.until:
            return False
        breaker.proving = True
        return True

    def succeed(self, target: str) -> None:
        breaker = self._breakers.get(target)
        if breaker is None:
            return
        if breaker.until or breaker.verdicts[-1][0] <= self._clock() - WINDOW:
            del self._breakers[target]
            return
        breaker.in_a_row = 0
        breaker.judge(self._clock(), failed=False)

    def fail(self, target: str, *, gone: bool = False) -> None:
        """`gone`: it could not be reached at all, so the next request would fail too."""
        breaker = self._breakers.setdefault(target, Breaker())
        breaker.in_a_row += 1
        breaker.judge(self._clock(), failed=True)
        due = gone or breaker.in_a_row >= FAILURES or breaker.is_outlier()
        if breaker.proving or (due and not breaker.until):
            first = GONE_PAUSE if gone else FIRST_PAUSE
            pause = min(LONGEST_PAUSE, first * 2**breaker.ejections)
            breaker.until = self._clock() + pause * random.uniform(1 - JITTER, 1 + JITTER)
            breaker.ejections = min(breaker.ejections + 1, 10)
            breaker.proving = False

    def pause(self, target: str, seconds: float) -> None:
        """The target asked to be left alone for so long, at most a minute of which is granted."""
        self._paused[target] = self._clock() + min(seconds, LONGEST_PAUSE)

    def abandon(self, target: str) -> None:
        """The request that was to decide ended without telling anything: another may."""
        breaker = self._breakers.get(target)
        if breaker is not None:
            breaker.proving = False

    def retain(self, targets: set[str]) -> None:
        """Forgets whoever is not among the given."""
        for kept in (self._breakers, self._paused):
            for gone in kept.keys() - targets:
                del kept[gone]
