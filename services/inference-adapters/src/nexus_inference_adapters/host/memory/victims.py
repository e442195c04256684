"""Who has to leave so that another model fits, and when that may be. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_inference_adapters.host.memory.types import Hold, State

__all__ = ["NEVER", "choose", "earliest", "free_at"]

NEVER = float("inf")


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
