"""Whether a planned request may go at once, and its wait for a place if not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self, cast

from nexus_mesh.core import MeshError
from nexus_routing import Table

from nexus_gateway.admission import refusals
from nexus_gateway.admission.choices import NONE, Choices
from nexus_gateway.admission.metrics import REFUSALS, WAITED, WAITING
from nexus_gateway.admission.settings import QueueSettings
from nexus_gateway.admission.waiting import Waiter, WaitingRoom
from nexus_gateway.core import CANDIDATES, HOSTS, RequestContext
from nexus_gateway.fleet import Bulkheads, ModelQueue, RoutingTable, Traffic
from nexus_gateway.queues import Targets

__all__ = ["Admission"]

SHORTEST_WAIT = 0.5
SHARE_OF_TOTAL = 0.05
CERTAIN = 0.75
"""An estimate may be exceeded by a third, and by a third again when there is time."""


class Kept:
    """A place that is kept while the request is planned anew; whether it takes that or another, it is free again."""

    def __init__(self, admission: Admission, target: str | None) -> None:
        self._admission = admission
        self.target = target

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self.target is not None:
            self._admission.room.give_back(self.target)


class Wait:
    """One request's, over as many turns as it needs."""

    def __init__(self, admission: Admission, context: RequestContext, until: float) -> None:
        self._admission = admission
        self._context = context
        self._until = until
        self._again = False

    async def turn(self, targets: Targets) -> Kept:
        """The place whose turn it was. Raises OVERLOAD, RATE_LIMIT or DRAINING."""
        target = await self._admission.wait_turn(self._context, targets, self._until, again=self._again)
        self._again = True
        return Kept(self._admission, target)

    def left(self, kept: Kept) -> Targets:
        """Whom it must wait for still, planned anew; nothing when it may go now."""
        targets = self._admission.blocked_by(self._context)
        # A place it could not use is none: to be offered that again at once would go on for ever.
        return targets - {kept.target} or targets if kept.target is not None else targets


class Admission:
    """What would do is `choices`; who waits is `room`. Here they meet, under the limits of the operator."""

    def __init__(
        self, settings: QueueSettings, table: RoutingTable, traffic: Traffic, draining: asyncio.Event
    ) -> None:
        self._settings = settings
        self._places = traffic.places
        self._draining = draining
        self._choices = Choices(table, traffic)
        # Below they only hold them: what waits there is ours to know.
        waiting = cast(Bulkheads[Waiter], traffic.places)
        self.room = WaitingRoom(self._choices, waiting, settings.tenant_share)

    def blocked(self, context: RequestContext) -> Targets:
        """Nothing when the request may go now, with a plan of those that have room; else whom it must wait for."""
        if not self.room.is_empty and context.plan is not None:
            for candidate in context.plan.candidates:
                self.room.offer(candidate.id)
        return self.blocked_by(context)

    @contextmanager
    def waiting(self, context: RequestContext, targets: Targets) -> Iterator[Wait]:
        """A wait for one of the targets. Raises OVERLOAD, RATE_LIMIT or DRAINING when there is no sense in it."""
        began = asyncio.get_running_loop().time()
        WAITING.inc()
        try:
            expected, longest = self._patience(context)
            self._check(context, targets, expected)
            yield Wait(self, context, began + longest)
        finally:
            WAITING.dec()
            context.waited = asyncio.get_running_loop().time() - began
            WAITED.observe(context.waited)

    def refresh(self, table: Table) -> None:
        """A new table: bulkheads change, and with them who has to wait for whom."""
        self._places.refresh(table)
        self.room.refresh()

    async def drain(self) -> None:
        """Waits for the end, then sends everybody away."""
        await self._draining.wait()
        REFUSALS.labels("draining").inc(self.room.wake_all(refusals.draining))

    def blocked_by(self, context: RequestContext) -> Targets:
        """Nothing when a candidate has room: the plan names it. Else every target it would rather wait for."""
        planned = context.plan
        if planned is None or any(
            self._choices.admits(context, each) for each in self._choices.preferred(planned)
        ):
            return NONE
        every = self._choices.every(context)
        serving = self._choices.serving(context, every)
        if not serving.candidates:
            return NONE  # all have gone since it was planned: dispatch says so
        wanted = self._choices.preferred(serving)
        free = [each for each in wanted if each.id not in self._places.full]
        if not free:
            return self._choices.awaited(context, every)
        # Who stand in for those that fail, if not for those that are busy.
        others = serving.candidates[len(wanted) :]
        context.plan = replace(serving, candidates=(*free, *others)[:CANDIDATES])
        return NONE

    def _patience(self, context: RequestContext) -> tuple[float, float]:
        """Seconds it may be expected to wait, and seconds after which it gives up.

        However long it might be allowed to, waiting must not dwarf the work. The second is the larger: whoever was let
        in because an estimate said so is not sent away when it comes out a little wrong.
        """
        settings, seconds = self._settings, self.room.queue_of(context).seconds
        longest = min(settings.wait, SHARE_OF_TOTAL * context.limits.total, context.left)
        if seconds is None:
            return longest, longest
        expected = max(SHORTEST_WAIT, settings.stretch * seconds)
        return min(expected, CERTAIN * longest), min(longest, expected / CERTAIN**2)

    async def wait_turn(
        self, context: RequestContext, targets: Targets, until: float, *, again: bool
    ) -> str | None:
        """The target a place is kept at, None = look again. Raises OVERLOAD, RATE_LIMIT or DRAINING."""
        self._check_draining()
        waiter = self.room.enter(context, targets, first=again)
        try:
            async with asyncio.timeout_at(until):
                turn = await waiter.turn
        except TimeoutError:
            self.room.drop(waiter)
            raise self._refusal("timeout", waiter.line, context, targets) from None
        except asyncio.CancelledError:
            self.room.drop(waiter)
            raise
        finally:
            self.room.remove(waiter)
        if isinstance(turn, MeshError):
            raise turn
        return turn

    def _check_draining(self) -> None:
        if self._draining.is_set():
            REFUSALS.labels("draining").inc()
            raise refusals.draining()

    def _check(self, context: RequestContext, targets: Targets, patience: float) -> None:
        """Raises when there is no sense in waiting, or no room for it."""
        self._check_draining()
        line, tenant = self.room.queue_of(context), context.tenant
        queue = line.queue
        eta = line.eta(tenant, context.request.priority)
        if eta is not None and eta > patience:
            raise self._refusal("eta", line, context, targets, patience)
        if len(queue) < self._settings.length:
            return
        if not queue or queue.held(tenant) + 1 > queue.allowed(tenant, self._settings.length):
            raise self._refusal("full", line, context, targets, patience)
        # Somebody waits with more than a share of the queue: its last request makes room.
        displaced = queue.newest_of_largest().item
        displaced.wake(self._refusal("displaced", line, displaced.context, targets))
        self.room.remove(displaced)

    def _refusal(
        self,
        why: str,
        line: ModelQueue[Waiter],
        context: RequestContext,
        targets: Targets,
        patience: float = 0.0,
    ) -> MeshError:
        """A tenant is told of its share when it is not alone here, and would get a place but for its own requests."""
        REFUSALS.labels(why).inc()
        tenant, priority = context.tenant, context.request.priority
        eta, bare = line.eta(tenant, priority), line.eta(tenant, priority, backlog=False)
        own = why == "displaced" or (
            not line.is_alone(tenant) and line.queue.held(tenant) > 0 and (bare is None or bare <= patience)
        )
        known = filter(None, map(self._places.target, targets))
        hosts = sorted({target.host for target in known})[:HOSTS]
        waits = self._settings.wait if eta is None else eta
        return refusals.saturated(line.model, waits, hosts, own_share=own)
