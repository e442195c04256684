"""How many requests each target has of us and may have, and who waits for a model when there is no room."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from nexus_routing import Candidate, Load, Table, Target

from nexus_gateway.access import Share
from nexus_gateway.core import Priority
from nexus_gateway.queues import FairQueue

__all__ = ["Bulkhead", "Bulkheads", "ModelQueue"]

T = TypeVar("T")

MEMORY = 0.1
"""Weight of the newest request in the average."""


class ModelQueue(Generic[T]):
    """`seconds` is how long a request holds its place, None before the first has ended."""

    __slots__ = ("_clock", "_numbers", "_since", "model", "queue", "running_of", "seconds")

    def __init__(self, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.model = model
        self.queue: FairQueue[T] = FairQueue()
        self.running_of: dict[Share, int] = {}
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

    def start(self, tenant: Share) -> int:
        """Returns the number to end() it with."""
        number = next(self._numbers)
        self._since[number] = self._clock()
        self.running_of[tenant] = self.running_of.get(tenant, 0) + 1
        return number

    def end(self, tenant: Share, number: int) -> None:
        seconds = self._clock() - self._since.pop(number)
        left = self.running_of[tenant] - 1
        if left:
            self.running_of[tenant] = left
        else:
            del self.running_of[tenant]
        self.seconds = seconds if self.seconds is None else self.seconds + MEMORY * (seconds - self.seconds)

    def eta(self, tenant: Share, priority: Priority, *, backlog: bool = True) -> float | None:
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

    def is_alone(self, tenant: Share) -> bool:
        """Whether nobody else runs or waits here."""
        held = self.queue.held(tenant)
        return held == len(self.queue) and self.running_of.get(tenant, 0) == self.running

    def has_its_share(self, tenant: Share, share: float) -> bool:
        """Whether a tenant runs all it may while others wait. One place it may always have."""
        return self.running_of.get(tenant, 0) >= max(1.0, share * (self.running + 1))


class Bulkhead:
    """How many of our requests a target may have at once. `peak`: the most it had since it last told its load."""

    __slots__ = ("limit", "peak", "target")

    def __init__(self, target: Target, limit: float, peak: int) -> None:
        self.target = target
        self.limit = limit
        self.peak = peak


class Bulkheads(Generic[T]):
    """On every request's path: a few look-ups, no waiting. Those of a target without a bulkhead never run out."""

    def __init__(self, bulkhead: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.active: dict[str, int] = {}
        """Our running requests by target, places kept for somebody included."""
        self.full: set[str] = set()
        self.lines: dict[str, ModelQueue[T]] = {}
        self.crowded: dict[str, ModelQueue[T]] = {}
        """Models somebody waits for. Whoever was served goes to the end: they share targets in turns."""
        self.freed: Callable[[str], None] = _nobody_waits
        """Told of every target a request has left, while somebody waits."""
        self._bulkheads: dict[str, Bulkhead] = {}
        self._clock = clock
        self._assumed = bulkhead

    def line(self, model: str) -> ModelQueue[T]:
        line = self.lines.get(model)
        if line is None:
            line = self.lines[model] = ModelQueue(model, self._clock)
        return line

    def target(self, name: str) -> Target | None:
        """None when the table does not name it any more."""
        bulkhead = self._bulkheads.get(name)
        return bulkhead and bulkhead.target

    def take(self, candidate: Candidate, tenant: Share) -> int:
        """A request starts. Returns its number, for leave()."""
        self.reserve(candidate.id)
        return self.line(candidate.model.id).start(tenant)

    def leave(self, candidate: Candidate, tenant: Share, number: int) -> None:
        """The same request has ended."""
        self.line(candidate.model.id).end(tenant, number)
        self.give_back(candidate.id)
        if self.crowded:
            self.freed(candidate.id)

    def reserve(self, target: str) -> None:
        running = self.active[target] = self.active.get(target, 0) + 1
        bulkhead = self._bulkheads.get(target)
        if bulkhead is not None:
            if running > bulkhead.peak:
                bulkhead.peak = running
            if running >= bulkhead.limit:
                self.full.add(target)

    def give_back(self, target: str) -> None:
        """Tells nobody."""
        running = self.active[target] - 1
        if running:
            self.active[target] = running
        else:
            del self.active[target]
        if target in self.full and running < self._bulkheads[target].limit:
            self.full.discard(target)

    def refresh(self, table: Table) -> None:
        """Bulkheads by a new table. Of what a target says it runs, all that may be ours is not counted twice."""
        known = self._bulkheads
        self._bulkheads = {each.id: self._bulkhead(each, known.get(each.id)) for each in table.targets}
        self.full = {name for name, each in self._bulkheads.items() if self.active.get(name, 0) >= each.limit}
        for model in [name for name, line in self.lines.items() if line.idle and name not in table.offers]:
            del self.lines[model]

    def _bulkhead(self, target: Target, known: Bulkhead | None) -> Bulkhead:
        if known is not None and known.target is target:
            return known
        running = self.active.get(target.id, 0)
        ours = running if known is None else max(known.peak, running)
        return Bulkhead(target, _limit(target.load, ours) or self._assumed or math.inf, running)


def _limit(load: Load, ours: int) -> int:
    """How many a target with known places may have of us, 0 = it has not told how many places it has.

    What it says is some seconds old, and other gateways know as little of us as we of them. So half of the places are
    anybody's: its own short queue decides between gateways, and none of them is ever shut out by an old number.
    """
    others = max(0, load.active + load.queued - ours)
    return load.capacity and max(1, load.capacity // 2, load.capacity - others)


def _nobody_waits(_: str) -> None:
    return None
