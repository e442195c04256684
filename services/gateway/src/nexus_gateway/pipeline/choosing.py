"""Who may serve a request: what is demanded, the plan, the way out of a zone, and what no plan means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import Timeouts
from nexus_routing import Plan, Requirements, Table, plan

from nexus_gateway.core import InferenceRequest, Passage
from nexus_gateway.dispatch import Dispatcher, in_doubt, room_missing
from nexus_gateway.fleet import RoutingTable, Traffic
from nexus_gateway.pipeline.naming import Names
from nexus_gateway.pipeline.steps import Step, Way
from nexus_gateway.scrubbing import Crossings

__all__ = ["Choose", "Cross", "Decide", "Fit", "Require", "Scrub", "requirements_of"]

CANDIDATES = 5
"""More than are asked: of those that are left when one fails, some may have failed since."""
RETRY_AFTER = 1.0


class Require(Step):
    """Says what routing needs to know of a request. `room` of the passage is what was counted of it."""

    async def start(self, passage: Passage) -> None:
        request = passage.request
        passage.requirements = requirements_of(request, passage.room)

    again = start


class Choose(Step):
    """Plans on the newest table."""

    def __init__(self, table: RoutingTable, traffic: Traffic) -> None:
        self._table = table
        self._traffic = traffic

    async def start(self, passage: Passage) -> None:
        if self._table.snapshot is None:
            raise MeshError(
                Reason.NOT_READY,
                "This gateway has not heard from its router yet, so it knows no models. Try again shortly.",
                retry_after=RETRY_AFTER,
            )
        passage.plan = self.plan(self._table.table, passage, passage.requirements)

    again = start

    def plan(self, table: Table, passage: Passage, requirements: Requirements) -> Plan:
        """Takes a turn, unless nothing is to be sent."""
        conditions = self._traffic.look if passage.dry else self._traffic.conditions
        return plan(table, requirements, conditions(passage.tenant), CANDIDATES)


class Cross(Step):
    """Looks for the way out of a zone in which nobody offers the model, where policy allows one."""

    def __init__(self, table: RoutingTable, choose: Choose, crossings: Crossings) -> None:
        self._table = table
        self._choose = choose
        self._crossings = crossings

    async def start(self, passage: Passage) -> None:
        passage.opened, refusal = None, passage.chosen.refusal
        if refusal is None or refusal.stage != "zone":
            return
        way = self._crossings.find(self._table.table, passage.request, passage.requirements)
        if way is None:
            return
        chosen = self._choose.plan(way.table, passage, way.requirements)
        if chosen.refusal is None or passage.dry:
            passage.opened, passage.requirements, passage.plan = way.table, way.requirements, chosen

    again = start


class Decide(Step):
    """Goes by the plan. Raises what one without candidates means, in as many names as who asked may hear."""

    ways: ClassVar[Way] = Way.SEND

    def __init__(
        self, table: RoutingTable, names: Names, limits: Timeouts, model_limits: Mapping[str, Timeouts]
    ) -> None:
        self._table = table
        self._names = names
        self._limits = limits
        self._model_limits = model_limits

    async def start(self, passage: Passage) -> None:
        chosen, asked = passage.chosen, passage.request.model
        if chosen.refusal is not None:
            raise self._names.refusal(chosen.refusal, passage)
        passage.hedge_after = self._table.table.policy.hedge_after(asked, chosen.model or "")
        own = self._model_limits
        passage.limits = own.get(asked) or own.get(chosen.model or "", self._limits)

    again = start


class Scrub(Step):
    """Takes out of a request that leaves its zone what must not leave it."""

    ways: ClassVar[Way] = Way.SEND

    def __init__(self, crossings: Crossings) -> None:
        self._crossings = crossings

    async def start(self, passage: Passage) -> None:
        if passage.opened is not None and passage.scrubbed is None:
            passage.scrubbed = await self._crossings.scrub(passage.request)

    again = start


class Fit(Step):
    """Plans again when the prompt is too long for the first candidate: for a larger context, or nobody at all.

    Never for one outside the zone: what was to be counted inside is there unscrubbed.
    """

    ways: ClassVar[Way] = Way.RUN

    def __init__(self, table: RoutingTable, dispatcher: Dispatcher, choose: Choose, decide: Decide) -> None:
        self._table = table
        self._dispatcher = dispatcher  # to count a prompt takes no place
        self._choose = choose
        self._decide = decide

    async def start(self, passage: Passage) -> None:
        if passage.scrubbed is not None or not in_doubt(passage):
            return
        if needed := await room_missing(self._dispatcher, passage):
            passage.room = needed
            passage.requirements = requirements_of(passage.request, needed)
            passage.plan = self._choose.plan(self._table.table, passage, passage.requirements)
            await self._decide.start(passage)


def requirements_of(request: InferenceRequest, tokens: int = 0) -> Requirements:
    """`tokens`: of context, counted and not guessed; 0 = not known."""
    assert request.principal is not None  # noqa: S101 - nothing is planned for nobody
    return Requirements(
        request.operation,
        request.model,
        request.needs,
        request.zones,
        tenant=request.principal.tenant,
        tokens=tokens,
        affinity=request.affinity,
    )
