"""Which models there are for whom, by which names, and what a refusal may say of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nexus_mesh.core import MeshError
from nexus_routing import STAGES, Model, Refusal, Requirements, Table, plan, similar, usable

from nexus_gateway.access import Principal
from nexus_gateway.core import InferenceRequest, RequestContext, refuse
from nexus_gateway.fleet import ModelRow, RoutingTable, Traffic, find_model, list_models
from nexus_gateway.scrubbing import ZoneExits

__all__ = ["Hidden", "Names"]

FORBIDDEN = frozenset(stage.name for stage in STAGES if stage.hides)
"""Stages that refuse who asks, not what is asked."""
KEPT = 256
Who = tuple[str, frozenset[str]]


class Hidden:
    """Remembers its answers for as long as the table they came from is the newest."""

    def __init__(self, exits: ZoneExits) -> None:
        self._exits = exits
        self._table: Table | None = None
        self._known: dict[Who, frozenset[str]] = {}

    def of(self, table: Table, principal: Principal, rows: Iterable[ModelRow]) -> frozenset[str]:
        """The ids of those rows that nobody may answer for."""
        if table is not self._table or len(self._known) >= KEPT:
            self._table, self._known = table, {}
        who = principal.tenant, principal.zones
        found = self._known.get(who)
        if found is None:
            names = (row.id for row in rows)
            found = self._known[who] = frozenset(
                name for name in names if not self._may_use(table, principal, name)
            )
        return found

    def _may_use(self, table: Table, principal: Principal, name: str) -> bool:
        operations = table.operations(table.resolve(name) or name)
        return any(self._may_do(table, principal, name, operation) for operation in operations)

    def _may_do(self, table: Table, principal: Principal, name: str, operation: int) -> bool:
        asked = Requirements(operation, name, zones=principal.zones, tenant=principal.tenant)
        refusal = plan(table, asked, limit=1).refusal
        if refusal is None or refusal.stage not in FORBIDDEN:
            return True
        way = self._exits.find(table, _request(principal, name, operation), asked)
        if refusal.stage != "zone" or way is None:
            return False
        refusal = plan(way.table, way.requirements, limit=1).refusal
        return refusal is None or refusal.stage not in FORBIDDEN


def _request(principal: Principal, model: str, operation: int) -> InferenceRequest:
    """A request like any of theirs: it demands no zone itself."""
    return InferenceRequest(
        operation=operation,
        model=model,
        body={},
        stream=False,
        include_usage=False,
        needs=frozenset(),
        request_id="",
        principal=principal,
    )


class Names:
    """Asks the newest table."""

    def __init__(self, table: RoutingTable, traffic: Traffic, exits: ZoneExits) -> None:
        self._table = table
        self._traffic = traffic
        self._exits = exits
        self._hidden = Hidden(exits)

    def models(self, principal: Principal | None = None) -> list[ModelRow]:
        """The models a request of somebody can go to now, by id; None = of somebody who may manage them."""
        rows = list_models(self._table.table)
        if principal is None or principal.manage:
            return rows
        hidden = self._hidden.of(self._table.table, principal, rows)
        return [row for row in rows if row.id not in hidden]

    def model(self, name: str, principal: Principal) -> ModelRow:
        """The model a request by this name would go to. Raises MODEL_NOT_FOUND."""
        table, row = self._table.table, find_model(self._table.table, name)
        hidden = (
            frozenset[str]() if principal.manage else self._hidden.of(table, principal, list_models(table))
        )
        if row is not None and hidden.isdisjoint({name, table.resolve(name)}):
            return row
        asked = Requirements(0, name, zones=principal.zones, tenant=principal.tenant)
        unknown = Refusal("model", (), suggestions=similar(table, asked))
        raise refuse(self._sifted(unknown, principal), asked)

    def offers(self, name: str, principal: Principal) -> dict[int, tuple[Model, ...]]:
        """What those backends say of a model that requests of somebody can go to, by operation; empty = none can."""
        table = self._table.table
        operations = table.operations(table.resolve(name) or name)
        told = {each: self._usable(table, principal, name, each) for each in sorted(operations)}
        return {each: models for each, models in told.items() if models}

    def _usable(self, table: Table, principal: Principal, name: str, operation: int) -> tuple[Model, ...]:
        asked = Requirements(operation, name, zones=principal.zones, tenant=principal.tenant)
        found = usable(table, asked)
        request = _request(principal, name, operation)
        if not found and request.spec.scrubbable:
            way = self._exits.find(table, request, asked)
            found = () if way is None else usable(way.table, way.requirements)
        return tuple(each.model for each in found)

    def refusal(self, refusal: Refusal, context: RequestContext) -> MeshError:
        """What it means to whoever asked."""
        principal, asked = context.request.principal, context.request.asked
        return refuse(
            self._sifted(refusal, principal),
            context.requirements,
            self._traffic.soonest,
            asked,
            full=principal.manage,
        )

    def _sifted(self, refusal: Refusal, principal: Principal) -> Refusal:
        """The refusal without names that who asked is not to hear of."""
        if principal.manage or not refusal.suggestions:
            return refusal
        known = {row.id for row in self.models(principal)}
        return replace(refusal, suggestions=tuple(each for each in refusal.suggestions if each in known))
