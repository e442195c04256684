"""Every target's fate for a request, and what to say when none can serve it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace

from nexus_routing.demand import NO_DEMAND, Demand, Step
from nexus_routing.ordering import asked, order
from nexus_routing.stages import Case, first_refusal
from nexus_routing.standing import standings
from nexus_routing.table import LATEST, Table
from nexus_routing.types import (
    Conditions,
    Explanation,
    Model,
    Refusal,
    Requirements,
    Target,
    Verdict,
)

__all__ = ["diagnose", "explain", "similar"]

NO_CONDITIONS = Conditions()
SUGGESTIONS = 3
# Comparing names is quadratic in their length; an unknown name must not buy more time than that.
COMPARED_NAMES, COMPARED_LENGTH = 200, 64


def explain(table: Table, requirements: Requirements, conditions: Conditions = NO_CONDITIONS) -> Explanation:
    """Every target's fate. Its ranked targets are those of plan(), in the same order."""
    steps = table.steps(requirements)
    model = table.resolve(requirements.model)
    ranked = order(table, requirements, conditions, max(1, len(table.targets) * max(1, len(steps))))
    standing = {(each.id, each.model.id) for each in ranked.candidates}
    verdicts = [
        Verdict(each.target, rank, "", reason, each.model.id)
        for rank, (each, reason) in enumerate(standings(ranked.candidates, conditions), 1)
    ]
    for step in _last_of_each(steps, model):
        verdicts += _refused(
            table, step, requirements, conditions, standing, every=step.model == (model or "")
        )
    first = steps[0].demand if steps else Demand(zones=requirements.zones)
    return Explanation(model, tuple(verdicts), first.zones, first.tier)


def diagnose(table: Table, requirements: Requirements, conditions: Conditions) -> Refusal:
    """Of a request nobody can serve: what stopped those that got furthest with the model that was asked for."""
    fallbacks = tuple(dict.fromkeys(step.model for step in table.steps(requirements)[1:]))
    model = table.resolve(requirements.model)
    if model is None:
        # Anybody may ask for anything: it must not cost a look at every target.
        known = table.policy.knows(requirements.model)
        return Refusal(
            "absent" if known else "model",
            (),
            suggestions=similar(table, requirements),
            fallbacks=fallbacks,
        )
    explanation = explain(table, requirements, conditions)
    own = [each for each in explanation.verdicts if each.model == model]
    reached = {verdict.stage for verdict in own}
    stage = [each.name for each in table.stages.every if each.name in reached][-1]
    verdicts = tuple(verdict for verdict in own if verdict.stage == stage)
    offers = [_offer(verdict.target, model) for verdict in verdicts]
    lacks = [requirements.needs - offer.capabilities for offer in offers if offer is not None]
    return Refusal(
        stage,
        verdicts,
        missing=(frozenset.intersection(*lacks) or min(lacks, key=len))
        if stage == "capabilities"
        else frozenset(),
        available=frozenset[int]().union(*(offer.capabilities for offer in offers if offer is not None)),
        fallbacks=tuple(name for name in fallbacks if name != model),
        tier=explanation.tier,
    )


def _last_of_each(steps: tuple[Step, ...], model: str | None) -> Iterator[Step]:
    """The most generous step of each model; one for the unknown model too, so that every target is heard."""
    if model is None:
        yield Step("", NO_DEMAND)
    yield from {step.model: step for step in steps}.values()


def _refused(
    table: Table,
    step: Step,
    requirements: Requirements,
    conditions: Conditions,
    standing: set[tuple[str, str]],
    *,
    every: bool,
) -> Iterator[Verdict]:
    """The refused targets of a step; those that do not offer the model only if `every` one is asked for."""
    ask = asked(table, step, requirements, conditions)
    for target in table.targets:
        offer = _offer(target, step.model)
        if (target.id, step.model) in standing or (offer is None and not every):
            continue
        found = first_refusal(Case(target, offer, ask), table.stages.every)
        assert found is not None  # noqa: S101 - whoever is not refused has a rank
        yield Verdict(target, 0, found[0].name, found[1], step.model)


def _offer(target: Target, model: str) -> Model | None:
    return next((each for each in target.models if each.id == model), None)


def similar(table: Table, requirements: Requirements) -> tuple[str, ...]:
    """Names like the one that was asked for, whatever their capitals: of models the asker may use, nearest first."""
    known = {_folded(name): name for name in sorted({*table.offers, *table.aliases})[:COMPARED_NAMES]}
    asked = _folded(requirements.model[:COMPARED_LENGTH])
    near = difflib.get_close_matches(asked, known, SUGGESTIONS, cutoff=0.5)
    return tuple(known[name] for name in near if _may_use(table, replace(requirements, model=known[name])))


def _folded(name: str) -> str:
    return name.casefold().removesuffix(LATEST)


def _may_use(table: Table, requirements: Requirements) -> bool:
    """Whether anybody at all may serve it who may be heard of."""
    hiding = [stage for stage in table.stages.every if stage.hides]
    return any(
        first_refusal(Case(target, model, asked(table, step, requirements, NO_CONDITIONS)), hiding) is None
        for step in table.steps(requirements)
        for target, model in table.offers[step.model]
    )
