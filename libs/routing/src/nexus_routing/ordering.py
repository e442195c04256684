"""The order of trying over priorities, models and tiers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from nexus_routing.demand import Step
from nexus_routing.group import Group
from nexus_routing.stages import Ask
from nexus_routing.table import Table
from nexus_routing.types import Candidate, Conditions, Requirements

__all__ = ["Order", "asked", "order"]


@dataclass(slots=True)
class Order:
    """`candidates` best first. `overflow`: the first of them stands first because the preferred are busy.

    `last`: all of them are ejected, and nobody else is left.
    """

    candidates: list[Candidate] = field(default_factory=list)
    overflow: bool = False
    last: bool = False


def order(table: Table, requirements: Requirements, conditions: Conditions, limit: int) -> Order:
    """The best `limit` of every step, without those that failed lately for as long as there are others.

    Whoever is the last is never passed over: it may fail, but passing it over fails for certain.
    """
    found = _in_service(table, requirements, conditions, limit)
    if not found.candidates and conditions.ejected:
        found = _in_service(table, requirements, replace(conditions, ejected={}), limit)
        found.last = bool(found.candidates)
    return found


def _in_service(table: Table, requirements: Requirements, conditions: Conditions, limit: int) -> Order:
    """Of equal demand, a free place comes before a better priority or price."""
    found, spare = Order(), list[Candidate]()
    for step in table.steps(requirements):
        ask = asked(table, step, requirements, conditions)
        free, busy = _split(table.pool(step.model, ask), ask, limit)
        if not found.candidates and free:
            found.overflow = bool(busy) and busy[0].standing < free[0].standing
        _add(found.candidates, free[:limit])
        _add(
            spare if table.policy.overflow_to_fallbacks else found.candidates,
            busy[: max(0, limit - len(free))],
        )
    _add(found.candidates, spare)
    return found


def asked(table: Table, step: Step, requirements: Requirements, conditions: Conditions) -> Ask:
    """A step of a request, as the stages are asked about it."""
    return Ask(
        table.policy, requirements.operation, requirements.needs, step.demand, requirements, conditions
    )


def _split(groups: Iterable[Group], ask: Ask, limit: int) -> tuple[list[Candidate], list[Candidate]]:
    """Groups whose best has a free place, and those where all is taken."""
    free: list[Candidate] = []
    busy: list[Candidate] = []
    for group in groups:
        ranked = group.rank(ask, limit)
        if ranked:
            (busy if ranked[0].is_busy(ask.conditions) else free).extend(ranked)
        if len(free) >= limit:
            break
    return free, busy


def _add(candidates: list[Candidate], more: list[Candidate]) -> None:
    """Appends whoever is not there yet: a lower tier's step has those of the higher one again."""
    if not candidates:
        candidates += more
        return
    known = {(each.id, each.model.id) for each in candidates}
    candidates += [each for each in more if (each.id, each.model.id) not in known]
