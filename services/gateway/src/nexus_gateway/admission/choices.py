"""Whom a request would rather go to, and whose places it has to wait for when there is none."""

from __future__ import annotations

import itertools
from dataclasses import replace

from nexus_routing import Candidate, Conditions, Plan, plan

from nexus_gateway.core import RequestContext
from nexus_gateway.fleet import RoutingTable, Traffic
from nexus_gateway.queues import Targets

__all__ = ["NONE", "Choices"]

EVERY = 1 << 20
NONE: Targets = frozenset()


class Choices:
    """Plans of every target, not only of the best few, by the newest table."""

    def __init__(self, table: RoutingTable, traffic: Traffic) -> None:
        self._table = table
        self._traffic = traffic
        self._places = traffic.places

    def admits(self, context: RequestContext, candidate: Candidate) -> bool:
        """Whether it may go to a candidate now."""
        last = context.plan is not None and context.plan.last
        return self._traffic.admits(candidate, context.tenant, last=last)

    def preferred(self, planned: Plan) -> tuple[Candidate, ...]:
        """Those it may go to while others are busy: all, unless policy says that nobody stands in for a busy one."""
        candidates = planned.candidates
        if self._table.table.policy.overflow_to_fallbacks or not candidates:
            return candidates
        first = _step(planned, candidates[0])
        return tuple(itertools.takewhile(lambda each: _step(planned, each) == first, candidates))

    def every(self, context: RequestContext) -> Plan:
        """With all candidates, not only the best few; those out of service too, for they may be back before long."""
        conditions = Conditions(self._places.active)
        return plan(context.opened or self._table.table, context.requirements, conditions, EVERY)

    def serving(self, context: RequestContext, every: Plan) -> Plan:
        """Those in service; those that failed lately only where nobody else is."""

        def those(*, last: bool) -> Plan:
            found = (
                each for each in every.candidates if self._traffic.serves(each, context.tenant, last=last)
            )
            return replace(every, candidates=tuple(found), last=last)

        well = those(last=False)
        return well if well.candidates else those(last=True)

    def awaited(self, context: RequestContext, every: Plan) -> Targets:
        """Those of a plan whose places it waits for, in service or not."""
        serving = next(iter(self.serving(context, every).candidates), None)
        if serving is None or self._table.table.policy.overflow_to_fallbacks:
            return frozenset(each.id for each in every.candidates)
        step = _step(every, serving)
        return frozenset(each.id for each in every.candidates if _step(every, each) == step)

    def is_in_service(self, target: str) -> bool:
        """Whether anything may be sent there now, had it a place."""
        known = self._places.target(target)
        return known is not None and self._traffic.is_there(target, known.endpoint)


def _step(planned: Plan, candidate: Candidate) -> tuple[str, bool]:
    """Candidates of equal demand: for the same model, of the tier that was asked for or below it."""
    return candidate.model.id, candidate.id in planned.below_tier
