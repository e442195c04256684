"""Asks a second time when the first takes long, and takes whichever answers first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError
from nexus_routing import Candidate

from nexus_gateway.core import RequestContext
from nexus_gateway.dispatch.attempts import Asking, Race, RetryBudget, equals, served_by
from nexus_gateway.fleet import Kind, Traffic, is_final
from nexus_gateway.metering import RETRIES

__all__ = ["Hedger", "hedged"]

T = TypeVar("T")
Answered = tuple[T, Candidate, inference_pb2.Served]
Ask = Callable[[], Coroutine[Any, Any, T]]
SHARE_OF_TOTAL = 1 / 3
"""Of the whole time for a request: whoever has taken so much is late, for somebody else needs some too."""
LOOK_AGAIN = 1.0
"""Seconds until somebody is looked for again, when nobody could be asked."""


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


class Hedger:
    """Asks a candidate, and another one beside it where policy hedges or the first is late."""

    def __init__(self, traffic: Traffic, budget: RetryBudget) -> None:
        self._traffic = traffic
        self._budget = budget

    async def ask(self, context: RequestContext, candidate: Candidate, asking: Asking[T]) -> T:
        """At a candidate, and beside it at another one of the same model if the first is late."""
        assert asking.kind is not None  # noqa: S101 - the caller has looked
        race = Race()
        started, first = time.monotonic(), context.served
        assert first is not None  # noqa: S101 - the caller named it

        def ask(whom: Candidate, served: inference_pb2.Served) -> Ask[Answered[T]]:
            async def answered() -> Answered[T]:
                answer = await asking.ask(context, whom, race)
                race.winner = race.winner or whom.id
                return answer, whom, served

            return answered

        def second() -> Ask[Answered[T]] | None:
            other = self._second(context, candidate)
            return other and ask(other, served_by(other, context))

        async def discard(answered: Answered[T]) -> None:
            await asking.discard(answered[0])

        after = context.hedge_after if asking.kind is Kind.WHOLE else 0.0
        after = after or min(
            self._traffic.patience.limit(candidate, asking.kind), SHARE_OF_TOTAL * context.limits.total
        )
        answer, who, served = await hedged(
            ask(candidate, first), second, after, is_final=is_final, discard=discard
        )
        context.candidate, context.served = who, served
        served.attempts = context.attempts
        if who is not candidate:
            # It took at least so long: who is often late is to be asked later.
            measure, seconds = asking.speed(answer, time.monotonic() - started)
            self._traffic.latencies.saw(candidate.model.id, measure, candidate.id, seconds)
        return answer

    def _second(self, context: RequestContext, first: Candidate) -> Candidate | None:
        """Who is asked beside the first; None when nobody can be.

        Where policy hedges, within the budget. Where the first is only late, whoever is well and idle, and not dearer;
        or has room at least, within the budget.
        """
        others = [
            each
            for each in equals(context.chosen, first)
            if self._traffic.admits(each, context.tenant, last=context.chosen.last)
        ]
        free = False
        if not context.hedge_after:
            cheap = [each for each in others if each.price.total <= first.price.total]
            spare = list(filter(self._traffic.is_spare, cheap))
            free, others = bool(spare), spare or list(filter(self._traffic.can_help, cheap))
        other = next(iter(others), None)
        if other is None or not (free or self._budget.take()):
            return None
        RETRIES.labels("hedged" if context.hedge_after else "late").inc()
        context.attempts += 1
        context.hedged = other.id
        return other
