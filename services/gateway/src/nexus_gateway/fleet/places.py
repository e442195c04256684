"""Who holds a place at which target, and which targets have none left: a bulkhead for each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from nexus_routing import Candidate, Load, Table, Target

from nexus_gateway.core import Tenant
from nexus_gateway.queues import Line

__all__ = ["Bulkhead", "Places"]


class Bulkhead:
    """How many of our requests a target may have at once. `peak`: the most it had since it last told its load."""

    __slots__ = ("limit", "peak", "target")

    def __init__(self, target: Target, limit: float, peak: int) -> None:
        self.target = target
        self.limit = limit
        self.peak = peak


class Places:
    """On every request's path: a few look-ups, no waiting. Those of a target without a bulkhead never run out."""

    def __init__(self, bulkhead: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.active: dict[str, int] = {}
        """Our running requests by target, places kept for somebody included."""
        self.full: set[str] = set()
        self.lines: dict[str, Line[Any]] = {}
        self.freed: Callable[[str], None] = _nobody_waits
        """Told of every target a request has left."""
        self._bulkheads: dict[str, Bulkhead] = {}
        self._clock = clock
        self._assumed = bulkhead

    def line(self, model: str) -> Line[Any]:
        line = self.lines.get(model)
        if line is None:
            line = self.lines[model] = Line(model, self._clock)
        return line

    def target(self, name: str) -> Target | None:
        """None when the table does not name it any more."""
        bulkhead = self._bulkheads.get(name)
        return bulkhead and bulkhead.target

    def take(self, candidate: Candidate, tenant: Tenant) -> int:
        """A request starts. Returns its number, for leave()."""
        self.reserve(candidate.id)
        return self.line(candidate.model.id).start(tenant)

    def leave(self, candidate: Candidate, tenant: Tenant, number: int) -> None:
        """The same request has ended."""
        self.line(candidate.model.id).end(tenant, number)
        self.give_back(candidate.id)
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
