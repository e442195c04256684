"""Asks a second time when the first takes long, and takes whichever answers first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from nexus_mesh.errors import MeshError
from nexus_routing import Candidate, Plan

__all__ = ["Ask", "equals", "hedged"]

T = TypeVar("T")
Ask = Callable[[], Coroutine[Any, Any, T]]


def equals(plan: Plan, first: Candidate) -> Iterator[Candidate]:
    """Who may be asked beside the first: the same model, of no lower tier. Whoever stands in waits until it fails."""
    lower = frozenset[str]() if first.id in plan.below_tier else plan.below_tier
    others = (each for each in plan.candidates if each.id != first.id and each.model.id == first.model.id)
    return (each for each in others if each.id not in lower)


async def hedged(first: Ask[T], second: Callable[[], Ask[T] | None], after: float) -> T:
    """The first good answer; whoever is late is cancelled, and gone before this returns.

    `second` is asked for after so many seconds, and may decline with None. When both fail, the first one's error is
    raised.
    """
    running = [asyncio.create_task(first())]
    try:
        await asyncio.wait(running, timeout=after)
        if not running[0].done() and (ask := second()) is not None:
            running.append(asyncio.create_task(ask()))
            await _good(running)
        for task in running:
            if task.done() and task.exception() is None:
                return task.result()
        return await running[0]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _good(tasks: list[asyncio.Task[T]]) -> None:
    """Waits until one has an answer, or none can have one any more."""
    left = set(tasks)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        if any(not isinstance(task.exception(), MeshError) for task in done):
            return
