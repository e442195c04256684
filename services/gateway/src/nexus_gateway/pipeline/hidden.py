"""Models that somebody may never use, whatever backends come and go: by a zone that is demanded, or by a rule."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_routing import STAGES, Requirements, Table, plan

from nexus_gateway.access import Principal
from nexus_gateway.core import InferenceRequest
from nexus_gateway.fleet import ModelRow
from nexus_gateway.scrubbing import Crossings

__all__ = ["Hidden"]

FORBIDDEN = frozenset(stage.name for stage in STAGES if stage.hides)
"""Stages that refuse who asks, not what is asked."""
KEPT = 256
Who = tuple[str, frozenset[str]]


class Hidden:
    """Remembers its answers for as long as the table they came from is the newest."""

    def __init__(self, crossings: Crossings) -> None:
        self._crossings = crossings
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
        way = self._crossings.find(table, _request(principal, name, operation), asked)
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
        credential=None,
        principal=principal,
    )
