"""Which models somebody may hear of, and refusals in no other names."""

from __future__ import annotations

from dataclasses import replace

from nexus_mesh.core import MeshError
from nexus_routing import Refusal, Requirements, similar

from nexus_gateway.access import Principal, may_manage
from nexus_gateway.core import Passage, refuse
from nexus_gateway.fleet import ModelRow, RoutingTable, Traffic, find_model, list_models
from nexus_gateway.pipeline.hidden import Hidden
from nexus_gateway.scrubbing import Crossings

__all__ = ["Names"]


class Names:
    """Asks the newest table."""

    def __init__(self, table: RoutingTable, traffic: Traffic, crossings: Crossings) -> None:
        self._table = table
        self._traffic = traffic
        self._hidden = Hidden(crossings)

    def models(self, principal: Principal | None = None) -> list[ModelRow]:
        """The models a request of somebody can go to now, by id; None = of somebody who may manage them."""
        rows = list_models(self._table.table)
        if principal is None or may_manage(principal):
            return rows
        hidden = self._hidden.of(self._table.table, principal, rows)
        return [row for row in rows if row.id not in hidden]

    def model(self, name: str, principal: Principal) -> ModelRow:
        """The model a request by this name would go to. Raises MODEL_NOT_FOUND."""
        table, row = self._table.table, find_model(self._table.table, name)
        hidden = (
            frozenset[str]()
            if may_manage(principal)
            else self._hidden.of(table, principal, list_models(table))
        )
        if row is not None and hidden.isdisjoint({name, table.resolve(name)}):
            return row
        asked = Requirements(0, name, zones=principal.zones, tenant=principal.tenant)
        unknown = Refusal("model", (), suggestions=similar(table, asked))
        raise refuse(self._sifted(unknown, principal), asked)

    def refusal(self, refusal: Refusal, passage: Passage) -> MeshError:
        """What it means to whoever asked."""
        principal, asked = passage.request.principal, passage.request.asked
        return refuse(
            self._sifted(refusal, principal),
            passage.requirements,
            self._traffic.soonest,
            asked,
            full=may_manage(principal),
        )

    def _sifted(self, refusal: Refusal, principal: Principal | None) -> Refusal:
        """The refusal without names that who asked is not to hear of."""
        if may_manage(principal) or not refusal.suggestions:
            return refusal
        known = {row.id for row in self.models(principal)}
        return replace(refusal, suggestions=tuple(each for each in refusal.suggestions if each in known))
