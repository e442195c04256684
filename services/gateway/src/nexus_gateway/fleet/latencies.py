"""How long targets take, and when one is late."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from nexus_routing import Candidate

__all__ = ["Kind", "Latencies", "Measure", "Patience"]

WEIGHT = 0.2
"""Of a new time in the mean."""
KNOWN = 3
"""Times to know a target by."""
FRESH = 30.0
"""Seconds a mean is believed: then a slow target gets requests again, and the first tells how it is now."""
CLEARLY = 1.5
"""Times slower than the quickest, or it is noise."""
LOOK = 1.0


class Measure(Enum):
    """What is compared with what, in seconds; the value is what makes no difference."""

    FIRST_CONTENT = 0.02
    PER_TOKEN = 0.002


@dataclass(slots=True)
class Mean:
    value: float
    times: int
    last: float


class Latencies:
    """Exponentially weighted means by model, measure and target: a target may be slow with one model only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._means: dict[tuple[str, Measure], dict[str, Mean]] = {}
        self._slow: dict[str, dict[str, float]] = {}
        self._due = 0.0

    def saw(self, model: str, measure: Measure, target: str, seconds: float) -> None:
        now, means = self._clock(), self._means.setdefault((model, measure), {})
        mean = means.get(target)
        if mean is None:
            means[target] = Mean(seconds, 1, now)
            return
        mean.value += (1.0 if mean.last < now - FRESH else WEIGHT) * (seconds - mean.value)
        mean.times += 1
        mean.last = now

    def slow(self) -> Mapping[str, Mapping[str, float]]:
        """By model, then by target: how much more load, in 0..1 of all its places, a slow target seems to have.

        One that takes r times as long as the quickest seems to have 1 - 1/r: it is preferred once the other is as
        loaded as that.
        """
        now = self._clock()
        if now >= self._due:
            self._due = now + LOOK
            self._slow = self._compare(now)
        return self._slow

    def retain(self, models: Iterable[str], targets: set[str]) -> None:
        """Forgets whatever is not among the given."""
        known = set(models)
        for key in [key for key in self._means if key[0] not in known]:
            del self._means[key]
        for means in self._means.values():
            for gone in means.keys() - targets:
                del means[gone]

    def _compare(self, now: float) -> dict[str, dict[str, float]]:
        slow: dict[str, dict[str, float]] = {}
        for (model, measure), means in self._means.items():
            known = {
                target: mean.value + measure.value
                for target, mean in means.items()
                if mean.times >= KNOWN and mean.last >= now - FRESH
            }
            best = min(known.values(), default=0.0)
            for target, value in known.items():
                if value >= CLEARLY * best:
                    extra = slow.setdefault(model, {})
                    extra[target] = max(extra.get(target, 0.0), 1 - best / value)
        return slow


KEPT = 64
"""Times of each target that are remembered: the longest of so many is about the 99th percentile."""
FACTOR = 4.0
LEAST = 5.0
UNKNOWN = 10.0
"""Seconds, while it is not known."""
COLD = 30.0
"""The same, while its model is still to be loaded."""


class Kind(Enum):
    """What is waited for."""

    FIRST_CONTENT = "first content"
    WHOLE = "whole answer"


class Patience:
    """By target, model and kind."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str, Kind], deque[float]] = {}

    def saw(self, candidate: Candidate, kind: Kind, seconds: float) -> None:
        """It took so long."""
        key = candidate.id, candidate.model.id, kind
        times = self._times.get(key)
        if times is None:
            times = self._times[key] = deque(maxlen=KEPT)
        times.append(seconds)

    def limit(self, candidate: Candidate, kind: Kind) -> float:
        """Seconds after which it is late."""
        times = self._times.get((candidate.id, candidate.model.id, kind), ())
        learnt = max(LEAST, FACTOR * max(times, default=0.0))
        if not candidate.model.loaded:
            return max(COLD, learnt)
        return learnt if len(times) >= KNOWN else max(UNKNOWN, learnt)

    def retain(self, targets: set[str]) -> None:
        """Forgets whoever is not among the given."""
        for key in [key for key in self._times if key[0] not in targets]:
            del self._times[key]
