"""The decision: requirements + table + conditions -> the order of trying, or why there is none; and all of why."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from nexus_routing.compiled import first_refusal
from nexus_routing.demand import NO_DEMAND, Demand, Step
from nexus_routing.stages import Ask, Candidate, Case
from nexus_routing.standing import standings
from nexus_routing.table import LATEST, Group, Table
from nexus_routing.types import Conditions, Explanation, Model, Refusal, Requirements, Target, Verdict

__all__ = ["Plan", "asked", "explain", "plan", "similar", "usable"]

NO_CONDITIONS = Conditions()
NOBODY: frozenset[str] = frozenset()
SUGGESTIONS = 3
# Comparing names is quadratic in their length; an unknown name must not buy more time than that.
COMPARED_NAMES, COMPARED_LENGTH = 200, 64


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a request may go, best first. Exactly one of `candidates` and `refusal` is there.

    `zones` and `tier`: what was demanded of the candidates, by policy and by the caller. `overflow`: the first
    candidate stands first because those preferred to it have no free place. `below_tier`: ids of candidates of a lower
    tier than the demanded one. `last`: they are ejected, and asked all the same because nobody else is left.
    """

    model: str | None
    candidates: tuple[Candidate, ...]
    refusal: Refusal | None = None
    zones: frozenset[str] = frozenset()
    tier: str = ""
    overflow: bool = False
    below_tier: frozenset[str] = frozenset()
    last: bool = False


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


def usable(table: Table, requirements: Requirements) -> tuple[Candidate, ...]:
    """All who may serve it under the very name that was asked for, whatever they do now; no fallbacks."""
    model = table.resolve(requirements.model)
    found: dict[str, Candidate] = {}
    for step in table.steps(requirements):
        if step.model == model:
            for group in table.pool(step.model, asked(table, step, requirements, NO_CONDITIONS)):
                found |= {each.id: each for each in group.candidates}
    return tuple(found[name] for name in sorted(found))


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
        missing=(lacks[0].intersection(*lacks) or min(lacks, key=len))
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
