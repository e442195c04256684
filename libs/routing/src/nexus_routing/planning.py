"""The decision: requirements + table + conditions -> the order of trying, or why there is none."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

from nexus_routing.stages import STAGES, Case, first_refusal
from nexus_routing.table import Table
from nexus_routing.types import (
    Candidate,
    Conditions,
    Explanation,
    Plan,
    Refusal,
    Requirements,
    Target,
    Verdict,
)

__all__ = ["explain", "plan"]

NO_CONDITIONS = Conditions()
DEPTH = {stage.name: depth for depth, stage in enumerate(STAGES)}
SUGGESTIONS = 3
# Comparing names is quadratic in their length; an unknown name must not buy more time than that.
COMPARED_NAMES, COMPARED_LENGTH = 200, 64


def plan(
    table: Table, requirements: Requirements, conditions: Conditions = NO_CONDITIONS, limit: int = 3
) -> Plan:
    """The best `limit` candidates in the order of trying; a refusal when there is none at all."""
    model = table.resolve(requirements.model)
    if model is None:
        return Plan(None, (), Refusal("model", (), suggestions=_similar(table, requirements.model)))
    chosen: list[Candidate] = []
    for group in table.pool(model, requirements.operation, requirements.needs):
        chosen += _best(_usable(group, conditions), conditions, limit - len(chosen))
        if len(chosen) >= limit:
            break
    if chosen:
        return Plan(model, tuple(chosen))
    return Plan(model, (), _diagnose(requirements, explain(table, requirements, conditions)))


def explain(table: Table, requirements: Requirements, conditions: Conditions = NO_CONDITIONS) -> Explanation:
    """Every target's fate. Its ranked targets are those of plan(), in the same order."""
    model = table.resolve(requirements.model)
    refused: list[Verdict] = []
    for target in table.targets:
        offer = next((each for each in target.models if each.id == model), None)
        found = first_refusal(Case(target, offer, requirements, conditions))
        if found is not None:
            refused.append(Verdict(target, 0, found[0].name, found[1]))
    ranked: list[Verdict] = []
    if model is not None:
        every = _plan_all(table, model, requirements, conditions)
        ranked = [
            Verdict(each.target, rank, "", _standing(each, conditions)) for rank, each in enumerate(every, 1)
        ]
    return Explanation(model, (*ranked, *refused))


def _plan_all(
    table: Table, model: str, requirements: Requirements, conditions: Conditions
) -> list[Candidate]:
    """Every candidate of a resolved model in the order of trying."""
    groups = table.pool(model, requirements.operation, requirements.needs)
    return [each for group in groups for each in _best(_usable(group, conditions), conditions, len(group))]


def _usable(group: Sequence[Candidate], conditions: Conditions) -> Sequence[Candidate]:
    """The local stages, for many candidates at once."""
    unreachable, ejected = conditions.unreachable, conditions.ejected
    if not unreachable and not ejected:
        return group
    return [each for each in group if each.endpoint not in unreachable and each.id not in ejected]


def _best(group: Sequence[Candidate], conditions: Conditions, limit: int) -> list[Candidate]:
    """The least loaded of equals in priority; those also equal in load by rotation."""
    start = conditions.turn % len(group) if group else 0
    rotated = [*group[start:], *group[:start]]
    running = conditions.active.get
    scores = [(each.taken + running(each.id, 0)) / each.places for each in rotated]
    if limit >= len(rotated):
        return [rotated[i] for i in sorted(range(len(rotated)), key=scores.__getitem__)]
    best: list[Candidate] = []
    for _ in range(limit):
        place = scores.index(min(scores))
        scores[place] = math.inf
        best.append(rotated[place])
    return best


def _standing(candidate: Candidate, conditions: Conditions) -> str:
    load, own = candidate.target.load, conditions.active.get(candidate.id, 0)
    places = str(load.capacity) if load.capacity else "an unknown number of"
    memory = "" if candidate.model.loaded else ", model not in memory"
    return (
        f"priority {candidate.target.priority}, {load.active + load.queued + own} running or waiting on "
        f"{places} places{memory}"
    )


def _diagnose(requirements: Requirements, explanation: Explanation) -> Refusal:
    """Of a known model that has no candidate: what stopped those that got furthest."""
    stage = STAGES[max(DEPTH[verdict.stage] for verdict in explanation.verdicts)].name
    verdicts = tuple(verdict for verdict in explanation.verdicts if verdict.stage == stage)
    if stage == "capabilities":
        lacks = [_missing(verdict.target, explanation.model, requirements) for verdict in verdicts]
        return Refusal(stage, verdicts, missing=frozenset.intersection(*lacks) or min(lacks, key=len))
    return Refusal(stage, verdicts)


def _missing(target: Target, model: str | None, requirements: Requirements) -> frozenset[int]:
    offer = next(each for each in target.models if each.id == model)
    return requirements.needs - offer.capabilities


def _similar(table: Table, name: str) -> tuple[str, ...]:
    known = sorted({*table.offers, *table.aliases})[:COMPARED_NAMES]
    return tuple(difflib.get_close_matches(name[:COMPARED_LENGTH], known, SUGGESTIONS, cutoff=0.5))
