"""One model as the queue sees it: who runs, who waits, how long it takes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from nexus_gateway.core import Priority, Tenant
from nexus_gateway.queues.fair_queue import FairQueue

__all__ = ["Line"]

T = TypeVar("T")

MEMORY = 0.1
"""Weight of the newest request in the average."""


class Line(Generic[T]):
    """`seconds` is how long a request holds its place, None before the first has ended."""

    __slots__ = ("_clock", "_numbers", "_since", "model", "queue", "running_of", "seconds")

    def __init__(self, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.model = model
        self.queue: FairQueue[T] = FairQueue()
        self.running_of: dict[Tenant, int] = {}
        self.seconds: float | None = None
        self._clock = clock
        self._numbers = itertools.count()
        self._since: dict[int, float] = {}  # in the order of starting

    @property
    def running(self) -> int:
        """This gateway's requests."""
        return len(self._since)

    @property
    def idle(self) -> bool:
        return not self._since and not self.queue

    def start(self, tenant: Tenant) -> int:
        """Returns the number to end() it with."""
        number = next(self._numbers)
        self._since[number] = self._clock()
        self.running_of[tenant] = self.running_of.get(tenant, 0) + 1
        return number

    def end(self, tenant: Tenant, number: int) -> None:
        seconds = self._clock() - self._since.pop(number)
        left = self.running_of[tenant] - 1
        if left:
            self.running_of[tenant] = left
        else:
            del self.running_of[tenant]
        self.seconds = seconds if self.seconds is None else self.seconds + MEMORY * (seconds - self.seconds)

    def eta(self, tenant: Tenant, priority: Priority, *, backlog: bool = True) -> float | None:
        """Seconds until a newcomer has a place; None while nothing has been measured.

        At least as long as places come free on the average, and as those who run now still need if they take as long
        as others did.
        """
        if self.seconds is None:
            return None
        if not self._since:
            return 0.0
        position = self.queue.position(tenant, priority, backlog=backlog)
        rounds, nth = divmod(int(position - 0.5), len(self._since))
        since = next(itertools.islice(self._since.values(), nth, None))
        left = since + (rounds + 1) * self.seconds - self._clock()
        return max(left, (position - 0.5) * self.seconds / len(self._since))

    def is_alone(self, tenant: Tenant) -> bool:
        """Whether nobody else runs or waits here."""
        held = self.queue.held(tenant)
        return held == len(self.queue) and self.running_of.get(tenant, 0) == self.running

    def has_its_share(self, tenant: Tenant, share: float) -> bool:
        """Whether a tenant runs all it may while others wait. One place it may always have."""
        return self.running_of.get(tenant, 0) >= max(1.0, share * (self.running + 1))
