"""The decision: requirements + table + conditions -> the order of trying, or why there is none."""

from __future__ import annotations

import difflib
from dataclasses import replace

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
    for group in table.pool(model, requirements):
        chosen += group.rank(conditions, limit - len(chosen))
        if len(chosen) >= limit:
            break
    if chosen:
        return Plan(model, tuple(chosen), zones=table.demanded(requirements, model))
    return Plan(model, (), _diagnose(requirements, explain(table, requirements, conditions)))


def explain(table: Table, requirements: Requirements, conditions: Conditions = NO_CONDITIONS) -> Explanation:
    """Every target's fate. Its ranked targets are those of plan(), in the same order."""
    model = table.resolve(requirements.model)
    if model is not None:
        requirements = replace(requirements, zones=table.demanded(requirements, model))
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
    return Explanation(model, (*ranked, *refused), requirements.zones)


def _plan_all(
    table: Table, model: str, requirements: Requirements, conditions: Conditions
) -> list[Candidate]:
    """Every candidate of a resolved model in the order of trying."""
    return [
        each
        for group in table.pool(model, requirements)
        for each in group.rank(conditions, len(group.candidates))
    ]


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
