"""The decision: requirements + table + conditions -> the order of trying, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_routing.explaining import diagnose
from nexus_routing.ordering import order
from nexus_routing.table import Table
from nexus_routing.types import Candidate, Conditions, Plan, Requirements

__all__ = ["plan"]

NO_CONDITIONS = Conditions()
NOBODY: frozenset[str] = frozenset()


def plan(
    table: Table, requirements: Requirements, conditions: Conditions = NO_CONDITIONS, limit: int = 3
) -> Plan:
    """The best `limit` candidates of every model that may serve, in the order of trying; a refusal without any."""
    model, found = table.resolve(requirements.model), order(table, requirements, conditions, limit)
    if not found.candidates:
        return Plan(model, (), diagnose(table, requirements, conditions))
    demand = table.steps(requirements)[0].demand
    return Plan(
        model,
        tuple(found.candidates),
        zones=demand.zones,
        tier=demand.tier,
        overflow=found.overflow,
        below_tier=_below(table, demand.tier, found.candidates) if demand.tier else NOBODY,
        last=found.last,
    )


def _below(table: Table, tier: str, candidates: Iterable[Candidate]) -> frozenset[str]:
    rank = table.policy.tier_rank
    return frozenset(each.id for each in candidates if rank(each.target.tier) < rank(tier))
