"""Whether a planned request may go at once, and its wait for a place if not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from nexus_mesh.core import MeshError
from nexus_routing import Candidate, Conditions, Plan, Table, plan

from nexus_gateway.admission import refusals
from nexus_gateway.admission.metrics import REFUSALS, WAITED, WAITING
from nexus_gateway.admission.settings import QueueSettings
from nexus_gateway.core import HOSTS, Passage
from nexus_gateway.fleet import RoutingTable, Traffic
from nexus_gateway.queues import Line, Targets, Ticket

__all__ = ["Admission"]

SHORTEST_WAIT = 0.5
SHARE_OF_TOTAL = 0.05
CERTAIN = 0.75
"""An estimate may be exceeded by a third, and by a third again when there is time."""
CANDIDATES = 3
EVERY = 1 << 20
NONE: Targets = frozenset()

Turn = str | MeshError | None
"""What ends a wait: the target a place is kept at, a refusal, or None = look again."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One request in the queue. `number`: how many came before it. `turn` is set once."""

    passage: Passage
    line: Line[Waiter]
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
            self._admission.give_back(self.target)


class Wait:
    """One request's, over as many turns as it needs."""

    def __init__(self, admission: Admission, passage: Passage, until: float) -> None:
        self._admission = admission
        self._passage = passage
        self._until = until
        self._again = False

    async def turn(self, targets: Targets) -> Kept:
        """The place whose turn it was. Raises OVERLOAD, RATE_LIMIT or DRAINING."""
        target = await self._admission.turn(self._passage, targets, self._until, again=self._again)
        self._again = True
        return Kept(self._admission, target)

    def left(self, kept: Kept) -> Targets:
        """Whom it must wait for still, planned anew; nothing when it may go now."""
        targets = self._admission.blocked_by(self._passage)
        # A place it could not use is none: to be offered that again at once would go on for ever.
        return targets - {kept.target} or targets if kept.target is not None else targets


class Admission:
    """While anybody waits, a place that comes free is kept for the one whose turn it is, who wakes and plans anew."""

    def __init__(
        self, settings: QueueSettings, table: RoutingTable, traffic: Traffic, draining: asyncio.Event
    ) -> None:
        self._settings = settings
        self._table = table
        self._traffic = traffic
        self._places = traffic.places
        self._draining = draining
        self._numbers = itertools.count()
        # Models somebody waits for. Whoever was served goes to the end: they share targets in turns.
        self._crowded: dict[str, Line[Waiter]] = {}
        self._places.freed = self._offer

    def blocked(self, passage: Passage) -> Targets:
        """Nothing when the request may go now, with a plan of those that have room; else whom it must wait for."""
        if not self._places.full:
            return NONE
        if self._crowded:
            for candidate in _candidates(passage):
                self._offer(candidate.id)
        return self.blocked_by(passage)

    @contextmanager
    def waiting(self, passage: Passage, targets: Targets) -> Iterator[Wait]:
        """A wait for one of the targets. Raises OVERLOAD, RATE_LIMIT or DRAINING when there is no sense in it."""
        began = asyncio.get_running_loop().time()
        WAITING.inc()
        try:
            expected, longest = self._patience(passage)
            self._check(passage, targets, expected)
            yield Wait(self, passage, began + longest)
        finally:
            WAITING.dec()
            passage.waited = asyncio.get_running_loop().time() - began
            WAITED.observe(passage.waited)

    def refresh(self, table: Table) -> None:
        """A new table: bulkheads change, and with them who has to wait for whom."""
        self._places.refresh(table)
        wanted: set[str] = set()
        for line in list(self._crowded.values()):
            for targets in {lane.targets for lane in line.queue.lanes()}:
                wanted |= self._look_again(line, targets)
        for target in wanted:
            self._offer(target)

    async def drain(self) -> None:
        """Waits for the end, then sends everybody away."""
        await self._draining.wait()
        for line in list(self._crowded.values()):
            for waiter in _waiters(line):
                REFUSALS.labels("draining").inc()
                waiter.wake(refusals.draining())

    def blocked_by(self, passage: Passage) -> Targets:
        """Nothing when a candidate has room: the plan names it. Else every target it would rather wait for."""
        planned = passage.plan
        if planned is None or any(self._admits(passage, each) for each in self._preferred(planned)):
            return NONE
        every = self._every(passage)
        serving = self._serving(passage, every)
        if not serving.candidates:
            return NONE  # all have gone since it was planned: dispatch says so
        wanted = self._preferred(serving)
        free = [each for each in wanted if each.id not in self._places.full]
        if not free:
            return self._awaited(passage, every)
        others = serving.candidates[
            len(wanted) :
        ]  # who stand in for those that fail, if not for those that are busy
        passage.plan = replace(serving, candidates=(*free, *others)[:CANDIDATES])
        return NONE

    def _preferred(self, planned: Plan) -> tuple[Candidate, ...]:
        """Those it may go to while others are busy: all, unless policy says that nobody stands in for a busy one."""
        candidates = planned.candidates
        if self._table.table.policy.overflow_to_fallbacks or not candidates:
            return candidates
        first = _step(planned, candidates[0])
        return tuple(itertools.takewhile(lambda each: _step(planned, each) == first, candidates))

    def _awaited(self, passage: Passage, every: Plan) -> Targets:
        """Those of a plan whose places it waits for, in service or not."""
        serving = next(iter(self._serving(passage, every).candidates), None)
        if serving is None or self._table.table.policy.overflow_to_fallbacks:
            return frozenset(each.id for each in every.candidates)
        step = _step(every, serving)
        return frozenset(each.id for each in every.candidates if _step(every, each) == step)

    def _every(self, passage: Passage) -> Plan:
        """With all candidates, not only the best few; those out of service too, for they may be back before long."""
        conditions = Conditions(self._places.active)
        return plan(passage.opened or self._table.table, passage.requirements, conditions, EVERY)

    def _patience(self, passage: Passage) -> tuple[float, float]:
        """Seconds it may be expected to wait, and seconds after which it gives up.

        However long it might be allowed to, waiting must not dwarf the work. The second is the larger: whoever was let
        in because an estimate said so is not sent away when it comes out a little wrong.
        """
        settings, seconds = self._settings, self._line(passage).seconds
        longest = min(settings.wait, SHARE_OF_TOTAL * passage.limits.total, passage.left)
        if seconds is None:
            return longest, longest
        expected = max(SHORTEST_WAIT, settings.stretch * seconds)
        return min(expected, CERTAIN * longest), min(longest, expected / CERTAIN**2)

    async def turn(self, passage: Passage, targets: Targets, until: float, *, again: bool) -> str | None:
        """The target a place is kept at, None = look again. Raises OVERLOAD, RATE_LIMIT or DRAINING."""
        loop, line = asyncio.get_running_loop(), self._line(passage)
        self._check_draining()
        waiter = Waiter(passage, line, next(self._numbers), loop.create_future())
        self._push(waiter, targets, first=again)
        try:
            async with asyncio.timeout_at(until):
                turn = await waiter.turn
        except TimeoutError:
            self._drop(waiter)
            raise self._refusal("timeout", line, passage, targets) from None
        except asyncio.CancelledError:
            self._drop(waiter)
            raise
        finally:
            self._remove(waiter)
        if isinstance(turn, MeshError):
            raise turn
        return turn

    def give_back(self, target: str) -> None:
        """A place that was kept, to whoever takes it now. If nobody does it is offered on."""
        self._places.give_back(target)
        asyncio.get_running_loop().call_soon(self._offer, target)

    def _drop(self, waiter: Waiter) -> None:
        """Whoever gives up at the very moment it was given a place hands it on."""
        turn = waiter.turn.result() if waiter.turn.done() and not waiter.turn.cancelled() else None
        if isinstance(turn, str):
            self._places.give_back(turn)
            self._offer(turn)

    def _check_draining(self) -> None:
        if self._draining.is_set():
            REFUSALS.labels("draining").inc()
            raise refusals.draining()

    def _check(self, passage: Passage, targets: Targets, patience: float) -> None:
        """Raises when there is no sense in waiting, or no room for it."""
        self._check_draining()
        line, tenant = self._line(passage), passage.tenant
        queue = line.queue
        eta = line.eta(tenant, passage.request.priority)
        if eta is not None and eta > patience:
            raise self._refusal("eta", line, passage, targets, patience)
        if len(queue) < self._settings.length:
            return
        if not queue or queue.held(tenant) + 1 > queue.allowed(tenant, self._settings.length):
            raise self._refusal("full", line, passage, targets, patience)
        # Somebody waits with more than a share of the queue: its last request makes room.
        displaced = queue.newest_of_largest().item
        displaced.wake(self._refusal("displaced", line, displaced.passage, targets))
        self._remove(displaced)

    def _refusal(
        self, why: str, line: Line[Waiter], passage: Passage, targets: Targets, patience: float = 0.0
    ) -> MeshError:
        """A tenant is told of its share when it is not alone here, and would get a place but for its own requests."""
        REFUSALS.labels(why).inc()
        tenant, priority = passage.tenant, passage.request.priority
        eta, bare = line.eta(tenant, priority), line.eta(tenant, priority, backlog=False)
        own = why == "displaced" or (
            not line.is_alone(tenant) and line.queue.held(tenant) > 0 and (bare is None or bare <= patience)
        )
        known = filter(None, map(self._places.target, targets))
        hosts = sorted({target.host for target in known})[:HOSTS]
        waits = self._settings.wait if eta is None else eta
        return refusals.saturated(line.model, waits, hosts, own_share=own)

    def _offer(self, target: str) -> None:
        """Keeps the free places of a target for those whose turn it is, and wakes them."""
        while self._crowded and target not in self._places.full:
            in_service = self._is_in_service(target)
            waiter = self._next(target) if in_service else self._next_without_hope(target)
            if waiter is None:
                return
            if waiter.gave_up:
                continue
            if in_service:
                self._places.reserve(target)
            waiter.wake(target if in_service else None)

    def _next(self, target: str) -> Waiter | None:
        """Whose turn it is, of all models in turns."""
        share = self._settings.tenant_share
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
                if target in lane.targets and not any(map(self._is_in_service, lane.targets)):
                    waiter = next(iter(lane.waiting)).item
                    self._remove(waiter)
                    return waiter
        return None

    def _admits(self, passage: Passage, candidate: Candidate) -> bool:
        last = passage.plan is not None and passage.plan.last
        return self._traffic.admits(candidate, passage.tenant, last=last)

    def _serving(self, passage: Passage, every: Plan) -> Plan:
        """Those in service; those that failed lately only where nobody else is."""

        def those(*, last: bool) -> Plan:
            found = (
                each for each in every.candidates if self._traffic.serves(each, passage.tenant, last=last)
            )
            return replace(every, candidates=tuple(found), last=last)

        well = those(last=False)
        return well if well.candidates else those(last=True)

    def _is_in_service(self, target: str) -> bool:
        known = self._places.target(target)
        return known is not None and self._traffic.is_there(target, known.endpoint)

    def _look_again(self, line: Line[Waiter], targets: Targets) -> Targets:
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
            self._remove(waiter)
            if named:
                self._push(waiter, named)
                found |= named
            else:
                waiter.wake(None)
        return frozenset(found)

    def _names(self, waiter: Waiter) -> Targets:
        if waiter.passage.opened is None:
            return self._awaited(waiter.passage, self._every(waiter.passage))
        # Planned on a table of its own, that only its planner can make anew.
        lane = waiter.ticket.lane
        return lane.targets if lane and all(map(self._places.target, lane.targets)) else NONE

    def _line(self, passage: Passage) -> Line[Waiter]:
        """Where it waits: with all who want the model it was asked for, or the one that stands in for it."""
        return self._places.line(passage.chosen.model or passage.chosen.candidates[0].model.id)

    def _push(self, waiter: Waiter, targets: Targets, *, first: bool = False) -> None:
        passage, line = waiter.passage, waiter.line
        self._crowded[line.model] = line
        waiter.ticket = line.queue.push(
            waiter, passage.tenant, passage.request.priority, targets, first=first
        )

    def _remove(self, waiter: Waiter) -> None:
        if waiter.line.queue.remove(waiter.ticket) and not waiter.line.queue:
            del self._crowded[waiter.line.model]


def _candidates(passage: Passage) -> tuple[Candidate, ...]:
    return passage.plan.candidates if passage.plan is not None else ()


def _step(planned: Plan, candidate: Candidate) -> tuple[str, bool]:
    """Candidates of equal demand: for the same model, of the tier that was asked for or below it."""
    return candidate.model.id, candidate.id in planned.below_tier


def _waiters(line: Line[Waiter]) -> list[Waiter]:
    return [ticket.item for lane in line.queue.lanes() for ticket in lane.waiting]
