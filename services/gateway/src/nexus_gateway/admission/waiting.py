"""Who waits for a place, and who is woken when one comes free."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus_mesh.core import MeshError

from nexus_gateway.admission.choices import NONE, Choices
from nexus_gateway.core import RequestContext
from nexus_gateway.fleet import Bulkheads, ModelQueue
from nexus_gateway.queues import Targets, Ticket

__all__ = ["Waiter", "WaitingRoom"]

Turn = str | MeshError | None
"""What ends a wait: the target a place is kept at, a refusal, or None = look again."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One request in the queue. `number`: how many came before it. `turn` is set once."""

    context: RequestContext
    line: ModelQueue[Waiter]
    number: int
    turn: asyncio.Future[Turn]
    ticket: Ticket[Waiter] = field(init=False)

    @property
    def gave_up(self) -> bool:
        """Cancelled or out of patience, though its task has not run since."""
        return self.turn.done()

    def wake(self, turn: Turn) -> None:
        if not self.turn.done():
            self.turn.set_result(turn)


class WaitingRoom:
    """While anybody waits, a place that comes free is kept for the one whose turn it is, who wakes and plans anew."""

    def __init__(self, choices: Choices, places: Bulkheads[Waiter], tenant_share: float) -> None:
        self._choices = choices
        self._places = places
        self._tenant_share = tenant_share
        self._numbers = itertools.count()
        self._crowded: dict[str, ModelQueue[Waiter]] = places.crowded
        places.freed = self.offer

    def queue_of(self, context: RequestContext) -> ModelQueue[Waiter]:
        """Where it waits: with all who want the model it was asked for, or the one that stands in for it."""
        return self._places.line(context.chosen.model or context.chosen.candidates[0].model.id)

    def enter(self, context: RequestContext, targets: Targets, *, first: bool) -> Waiter:
        """Waits from now on. `first`: before all who have not waited yet."""
        line = self.queue_of(context)
        waiter = Waiter(context, line, next(self._numbers), asyncio.get_running_loop().create_future())
        self._push(waiter, targets, first=first)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        if waiter.line.queue.remove(waiter.ticket) and not waiter.line.queue:
            del self._crowded[waiter.line.model]

    def drop(self, waiter: Waiter) -> None:
        """Whoever gives up at the very moment it was given a place hands it on."""
        turn = waiter.turn.result() if waiter.turn.done() and not waiter.turn.cancelled() else None
        if isinstance(turn, str):
            self._places.give_back(turn)
            self.offer(turn)

    def offer(self, target: str) -> None:
        """Keeps the free places of a target for those whose turn it is, and wakes them."""
        while self._crowded and target not in self._places.full:
            in_service = self._choices.is_in_service(target)
            waiter = self._next(target) if in_service else self._next_without_hope(target)
            if waiter is None:
                return
            if waiter.gave_up:
                continue
            if in_service:
                self._places.reserve(target)
            waiter.wake(target if in_service else None)

    def give_back(self, target: str) -> None:
        """A place that was kept, to whoever takes it now. If nobody does it is offered on."""
        self._places.give_back(target)
        asyncio.get_running_loop().call_soon(self.offer, target)

    def refresh(self) -> None:
        """After bulkheads have changed: who has to wait for whom may have too."""
        wanted: set[str] = set()
        for line in list(self._crowded.values()):
            for targets in {lane.targets for lane in line.queue.lanes()}:
                wanted |= self._look_again(line, targets)
        for target in wanted:
            self.offer(target)

    def wake_all(self, refusal: Callable[[], MeshError]) -> int:
        """Ends every wait; how many there were."""
        waiters = [waiter for line in self._crowded.values() for waiter in _waiters(line)]
        for waiter in waiters:
            waiter.wake(refusal())
        return len(waiters)

    @property
    def is_empty(self) -> bool:
        return not self._crowded

    def _next(self, target: str) -> Waiter | None:
        """Whose turn it is, of all models in turns."""
        share = self._tenant_share
        for line in list(self._crowded.values()):
            ticket = line.queue.next(target, lambda tenant, line=line: line.has_its_share(tenant, share))
            if ticket is not None:
                del self._crowded[line.model]
                if line.queue:
                    self._crowded[line.model] = line
                return ticket.item
        return None

    def _next_without_hope(self, target: str) -> Waiter | None:
        """Somebody who waits for nobody that is in service any more, to be told so."""
        for line in list(self._crowded.values()):
            for lane in line.queue.lanes():
                if target in lane.targets and not any(map(self._choices.is_in_service, lane.targets)):
                    waiter = next(iter(lane.waiting)).item
                    self.remove(waiter)
                    return waiter
        return None

    def _look_again(self, line: ModelQueue[Waiter], targets: Targets) -> Targets:
        """Sees to it that those who wait for these targets wait for whom the newest table names. Returns those."""
        waiters = [
            ticket.item for lane in line.queue.lanes() if lane.targets == targets for ticket in lane.waiting
        ]
        # They could all go to the same targets before; one of them tells whether they still can.
        if self._names(waiters[0]) == targets:
            return targets
        found: set[str] = set()
        for waiter in sorted(waiters, key=lambda waiter: waiter.number):
            named = self._names(waiter)
            self.remove(waiter)
            if named:
                self._push(waiter, named)
                found |= named
            else:
                waiter.wake(None)
        return frozenset(found)

    def _names(self, waiter: Waiter) -> Targets:
        if waiter.context.opened is None:
            return self._choices.awaited(waiter.context, self._choices.every(waiter.context))
        # Planned on a table of its own, that only its planner can make anew.
        lane = waiter.ticket.lane
        return lane.targets if lane and all(map(self._places.target, lane.targets)) else NONE

    def _push(self, waiter: Waiter, targets: Targets, *, first: bool = False) -> None:
        context, line = waiter.context, waiter.line
        self._crowded[line.model] = line
        waiter.ticket = line.queue.push(
            waiter, context.tenant, context.request.priority, targets, first=first
        )


def _waiters(line: ModelQueue[Waiter]) -> list[Waiter]:
    return [ticket.item for lane in line.queue.lanes() for ticket in lane.waiting]
