"""How long to wait for a target before somebody else is asked meanwhile: by what it took before."""

from __future__ import annotations

from collections import deque
from enum import Enum

from nexus_routing import Candidate

__all__ = ["Kind", "Patience"]

KEPT = 64
"""Times of each target that are remembered: the longest of so many is about the 99th percentile."""
FACTOR = 4.0
LEAST = 5.0
UNKNOWN = 10.0
"""Seconds, while it has answered fewer than three times."""
KNOWN = 3
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
