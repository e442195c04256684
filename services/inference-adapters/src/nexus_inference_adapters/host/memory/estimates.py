"""How long loads and requests take, from those that were seen."""

from __future__ import annotations

from nexus_inference_adapters.host.memory.types import Key

__all__ = ["Estimates"]

BYTES_PER_SECOND = 1e9
"""A model that was never seen loading: about what a fast disk gives."""
LEAST_LOAD_SECONDS = 1.0
FIRST_REQUEST_SECONDS = 5.0
WEIGHT = 0.3


class Estimates:
    """Moving averages, in seconds."""

    def __init__(self) -> None:
        self._loads: dict[Key, float] = {}
        self.request = FIRST_REQUEST_SECONDS

    def loaded(self, key: Key, seconds: float) -> None:
        before = self._loads.get(key, seconds)
        self._loads[key] = before + WEIGHT * (seconds - before)

    def served(self, seconds: float) -> None:
        self.request += WEIGHT * (seconds - self.request)

    def load(self, key: Key, size: int) -> float:
        """How long loading it should take."""
        return self._loads.get(key, max(LEAST_LOAD_SECONDS, size / BYTES_PER_SECOND))
