"""When somebody begins to speak and has ended, from how likely each moment is speech."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["WINDOW_MS", "Edge", "Turns"]

WINDOW_MS = 32
"""Of sound that are judged together."""
FIRST = 2
"""Windows in a row that must be speech before it has begun: one alone is a click."""
LEEWAY = 0.15
"""By how much less sure the detector may get without taking it for silence."""


class Edge(Enum):
    """Of what is said."""

    BEGINS = auto()
    ENDS = auto()


@dataclass(slots=True)
class Turns:
    """`at_ms`: how far it has heard, on the clock of all sound that came."""

    threshold: float
    silence_ms: int
    at_ms: int
    speaking: bool = False
    _run: int = 0

    def hear(self, probability: float) -> Edge | None:
        """One more window. What has begun did so `FIRST` windows before `at_ms`."""
        self.at_ms += WINDOW_MS
        if not self.speaking:
            self._run = self._run + 1 if probability >= self.threshold else 0
            if self._run < FIRST:
                return None
            self.speaking, self._run = True, 0
            return Edge.BEGINS
        self._run = self._run + 1 if probability < self.threshold - LEEWAY else 0
        if self._run * WINDOW_MS < self.silence_ms:
            return None
        self.speaking, self._run = False, 0
        return Edge.ENDS

    @property
    def began_ms(self) -> int:
        """When what has just begun did so."""
        return self.at_ms - FIRST * WINDOW_MS

    def reset(self) -> None:
        """Nobody is taken to be speaking."""
        self.speaking, self._run = False, 0
