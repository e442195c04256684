"""Asks a second time when the first takes long, and takes whichever answers first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from nexus_mesh.core import MeshError
from nexus_routing import Candidate, Plan

__all__ = ["Ask", "equals", "hedged"]

T = TypeVar("T")
Ask = Callable[[], Coroutine[Any, Any, T]]
LOOK_AGAIN = 1.0
"""Seconds until somebody is looked for again, when nobody could be asked."""


def equals(plan: Plan, first: Candidate) -> Iterator[Candidate]:
    """Who may be asked beside the first: the same model, of no lower tier. Whoever stands in waits until it fails."""
    lower = frozenset[str]() if first.id in plan.below_tier else plan.below_tier
    others = (each for each in plan.candidates if each.id != first.id and each.model.id == first.model.id)
    return (each for each in others if each.id not in lower)


async def hedged(
    first: Ask[T],
    second: Callable[[], Ask[T] | None],
    after: float,
    *,
    is_final: Callable[[MeshError], bool],
    discard: Callable[[T], Awaitable[None]],
) -> T:
    """The first good answer; whoever is late is cancelled, and gone before this returns.

    `second` is asked for after so many seconds, and may decline with None. An error that is final ends both. When both
    fail otherwise, the first one's error is raised. `discard` is given an answer that came too late to be used.
    """
    beside, scope = _Beside(second, after, is_final), asyncio.timeout(None)
    try:
        async with scope:
            beside.arm(scope)
            try:
                return await first()
            finally:
                beside.disarm()
    except TimeoutError:
        if not scope.expired():
            raise
        return await beside.result()
    except MeshError as error:
        if beside.task is None or is_final(error):
            raise
        try:
            return await beside.result()
        except MeshError as other:
            raise (other if is_final(other) else error) from None
    finally:
        await beside.close(discard)


class _Beside(Generic[T]):
    """The second one. No task is made before it is due, so that whoever is in time costs next to nothing."""

    def __init__(
        self, second: Callable[[], Ask[T] | None], after: float, is_final: Callable[[MeshError], bool]
    ) -> None:
        self.task: asyncio.Task[T] | None = None
        self._second = second
        self._after = after
        self._is_final = is_final
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._scope: asyncio.Timeout | None = None
        self._used = False

    def arm(self, scope: asyncio.Timeout) -> None:
        """After the time that was given, asks for the second; `scope` ends once that one has the answer."""
        self._scope = scope
        self._timer = self._loop.call_later(self._after, self._look)

    def disarm(self) -> None:
        """The first has ended: whoever was not asked by now is not asked any more."""
        self._scope = None
        if self._timer is not None:
            self._timer.cancel()

    async def result(self) -> T:
        """What it answers. From now on the answer is somebody's."""
        assert self.task is not None  # noqa: S101 - the caller has seen it
        answer = await self.task
        self._used = True
        return answer

    async def close(self, discard: Callable[[T], Awaitable[None]]) -> None:
        task = self.task
        if task is None or self._used:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            await discard(task.result())

    def _look(self) -> None:
        ask = self._second()
        if ask is None:
            self._timer = self._loop.call_later(LOOK_AGAIN, self._look)
            return
        self.task = self._loop.create_task(ask(), name="beside")
        self.task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[T]) -> None:
        if task.cancelled() or self._scope is None:
            return
        error = task.exception()
        if not isinstance(error, MeshError) or self._is_final(error):
            self._scope.reschedule(self._loop.time())
