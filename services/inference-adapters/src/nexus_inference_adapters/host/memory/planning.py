"""What a ledger plans by: how long loads and requests take, and who may have to leave, and when."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_inference_adapters.host.memory.types import Hold, Key, State

__all__ = ["NEVER", "Estimates", "choose", "earliest", "free_at"]

NEVER = float("inf")
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


def free_at(hold: Hold, residency: float) -> float:
    """From when on another model may take its place; for one that is being loaded, as expected."""
    if hold.pinned or hold.state is State.UNLOADING:
        return NEVER
    return max(hold.ready_at + residency, hold.not_before)


def earliest(holds: Iterable[Hold], missing: int, residency: float) -> float:
    """From when on `missing` bytes can be had from those in memory, were nobody using them. inf = never."""
    if missing <= 0:
        return -NEVER
    for due, size in sorted((free_at(hold, residency), hold.size) for hold in holds):
        missing -= size
        if missing <= 0:
            return due
    return NEVER


def choose(holds: Iterable[Hold], missing: int, residency: float, now: float) -> list[Hold]:
    """Those that leave, none of them needlessly; empty when they do not make enough room.

    First who has been idle for longest; who is in use only when there is no other way, for it has to end first.
    """
    ready = (hold for hold in holds if hold.state is State.READY)
    due = [hold for hold in ready if free_at(hold, residency) <= now]
    due.sort(key=lambda hold: (hold.users > 0, hold.kept, hold.since))
    chosen: list[Hold] = []
    for hold in due:
        if missing <= 0:
            break
        chosen.append(hold)
        missing -= hold.size
    if missing > 0:
        return []
    for hold in chosen[:-1]:
        if missing + hold.size <= 0:
            missing += hold.size
            chosen.remove(hold)
    return chosen
