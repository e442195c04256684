"""One circuit breaker: closed, open, or half-open while a request proves it. What each outcome does is a table."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

__all__ = [
    "FAILURES",
    "FIRST_PAUSE",
    "GONE_PAUSE",
    "JITTER",
    "LONGEST_GONE",
    "LONGEST_PAUSE",
    "WINDOW",
    "Breaker",
    "Outcome",
]

FAILURES = 5
"""In a row, to be opened."""
LEAST, SHARE, WINDOW = 20, 0.5, 10.0
"""Or: more than half of at least 20 verdicts within ten seconds."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
GONE_PAUSE, LONGEST_GONE = 1.0, 4.0
"""Of a target that is not there at all: to look again costs it nothing."""
JITTER = 0.2
MOST_DOUBLINGS = 10


class Outcome(Enum):
    """How a request on a target ended, or went so far."""

    SUCCESS = auto()
    """A whole answer."""
    CONTENT = auto()
    """The beginning of one; how it ends is told later."""
    ANSWERED = auto()
    """A refusal: whoever gives one is there, and says nothing of how well it works."""
    FAULT = auto()
    ODD = auto()
    """An answer that makes no sense to us, or came too late to be used: no proof of a fault."""
    GONE = auto()
    """The connection was refused: the next request would fail too."""
    NOTHING = auto()
    """It was cancelled, or ended before the target had its say."""


class View(Enum):
    """The state of a breaker as one request sees it. Half-open is PROBED to whoever proves it, and OPEN to others."""

    CLOSED = auto()
    OPEN = auto()
    PROBED = auto()


@dataclass(slots=True)
class Breaker:
    """`until`: nothing is sent before, 0 = closed. As a probe too only holds it until then, no state is for ever.

    `witnesses`: how many tenants must have seen it fail. `blamed`: who saw the failures in a row. `probe`: who proves
    it. `claim`: seconds for which others are kept off for a probe's sake.
    """

    witnesses: int = 1
    in_a_row: int = 0
    odd_in_a_row: int = 0
    ejections: int = 0
    until: float = 0.0
    claim: float = FIRST_PAUSE
    probe: object | None = None
    blamed: set[str] = field(default_factory=set)
    verdicts: deque[tuple[float, str | None]] = field(default_factory=deque)
    """When, and which tenant saw it fail, None = it did not; of the last ten seconds."""

    def is_open(self, now: float) -> bool:
        return now < self.until

    def start(self, ride: object, now: float) -> bool:
        """A request goes there; whether it is the one that decides after an ejection."""
        if not self.until or self.is_open(now):
            return False
        self.probe = ride
        self.until = now + self.claim
        return True

    def judge(self, ride: object, outcome: Outcome, tenant: str, now: float) -> None:
        """Takes in how a request ended."""
        view = View.CLOSED if not self.until else View.PROBED if self.probe is ride else View.OPEN
        step = STEPS[view].get(outcome)
        if step is not None:
            step(self, tenant, now)

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing to remember of it."""
        self._slide(now)
        if self.until:
            return now > self.until + LONGEST_PAUSE
        return not self.odd_in_a_row and not any(failed is not None for _, failed in self.verdicts)

    def failures(self, now: float) -> int:
        """Of the last ten seconds."""
        self._slide(now)
        return sum(failed is not None for _, failed in self.verdicts)

    def _slide(self, now: float) -> None:
        while self.verdicts and self.verdicts[0][0] <= now - WINDOW:
            self.verdicts.popleft()

    def _forgive(self, _: str, now: float) -> None:
        self.in_a_row = self.odd_in_a_row = self.ejections = 0
        self.blamed.clear()
        self._note(None, now)

    def _count(self, tenant: str, now: float) -> None:
        self.in_a_row += 1
        self.blamed.add(tenant)
        self._note(tenant, now)
        in_a_row = self.in_a_row >= FAILURES and len(self.blamed) >= self.witnesses
        if in_a_row or self._is_outlier():
            self._open_longer(tenant, now)

    def _count_odd(self, tenant: str, now: float) -> None:
        self.odd_in_a_row += 1
        self.blamed.add(tenant)
        if self.odd_in_a_row >= FAILURES and len(self.blamed) >= self.witnesses:
            self._open_shortly(tenant, now)

    def _open_longer(self, _: str, now: float) -> None:
        self._open(now, min(LONGEST_PAUSE, FIRST_PAUSE * 2**self.ejections))
        self.ejections = min(self.ejections + 1, MOST_DOUBLINGS)

    def _open_shortly(self, _: str, now: float) -> None:
        self._open(now, FIRST_PAUSE)

    def _open_gone(self, tenant: str, now: float) -> None:
        self._note(tenant, now)
        self.claim = GONE_PAUSE
        self._open(now, min(LONGEST_GONE, GONE_PAUSE * 2**self.ejections))
        self.ejections = min(self.ejections + 1, MOST_DOUBLINGS)

    def _stay_gone(self, tenant: str, now: float) -> None:
        """A request that was under way says that it is still not there."""
        self._note(tenant, now)
        self.until = max(self.until, now + GONE_PAUSE)

    def _close(self, tenant: str, now: float) -> None:
        self.until, self.probe = 0.0, None
        self._forgive(tenant, now)

    def _promise(self, _: str, now: float) -> None:
        """Others may come again; if it fails after all, one failure is enough."""
        self.until, self.probe = 0.0, None
        self.in_a_row = FAILURES - 1
        self._note(None, now)

    def _release(self, _: str, now: float) -> None:
        """The probe told nothing: another may prove it, now."""
        self.until, self.probe = now, None

    def _open(self, now: float, pause: float) -> None:
        self.until = now + pause * random.uniform(1 - JITTER, 1 + JITTER)
        self.probe = None

    def _note(self, failed: str | None, now: float) -> None:
        self.verdicts.append((now, failed))
        self._slide(now)

    def _is_outlier(self) -> bool:
        blaming = [failed for _, failed in self.verdicts if failed is not None]
        many = len(self.verdicts) >= LEAST and len(blaming) > SHARE * len(self.verdicts)
        return many and len(set(blaming)) >= self.witnesses


Step = Callable[[Breaker, str, float], None]
# What is not in it changes nothing. Failures of others do not prolong an ejection.
STEPS: Mapping[View, Mapping[Outcome, Step]] = {
    View.CLOSED: {
        Outcome.SUCCESS: Breaker._forgive,
        Outcome.FAULT: Breaker._count,
        Outcome.ODD: Breaker._count_odd,
        Outcome.GONE: Breaker._open_gone,
    },
    View.OPEN: {
        Outcome.SUCCESS: Breaker._close,
        Outcome.GONE: Breaker._stay_gone,
    },
    View.PROBED: {
        Outcome.SUCCESS: Breaker._close,
        Outcome.CONTENT: Breaker._promise,
        Outcome.ANSWERED: Breaker._release,
        Outcome.FAULT: Breaker._open_longer,
        Outcome.ODD: Breaker._open_shortly,
        Outcome.GONE: Breaker._open_gone,
        Outcome.NOTHING: Breaker._release,
    },
}
