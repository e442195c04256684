"""The stages every target passes on its way to being a candidate, as one literal tuple.

What a plan is made of is compiled from it (`compiled.py`), and explained by it: a stage is a rule from the moment it
stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeVar

from nexus_routing.demand import Demand
from nexus_routing.policy import FREE, Policy, Price
from nexus_routing.types import (
    OPEN,
    Conditions,
    Endpoint,
    Model,
    Requirements,
    Target,
)
from nexus_routing.vocabulary import Capability, Operation, State, names

__all__ = ["STAGES", "Ask", "Candidate", "Case", "On", "Stage", "capability_mask", "zone_of"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that can do the work, with the model under the name that target knows.

    `taken` and `places` are requests; their quotient is how loaded it was when the table was made.
    """

    id: str
    endpoint: Endpoint
    target: Target
    model: Model
    mask: int
    taken: float
    places: float
    price: Price = FREE

    @property
    def standing(self) -> tuple[int, float]:
        """Its priority, then what it costs: less of either is preferred."""
        return self.target.priority, self.price.total

    @property
    def zone(self) -> str:
        """Where the prompt ends up."""
        return zone_of(self.target, self.model)

    def is_busy(self, conditions: Conditions) -> bool:
        """Whether every place is taken, as far as known. The table's number may or may not hold our own requests."""
        load = self.target.load
        return 0 < load.capacity <= max(load.active + load.queued, conditions.active.get(self.id, 0))


def zone_of(target: Target, model: Model) -> str:
    """The privacy zone a model is served in: its host's, unless it only passes prompts on."""
    return OPEN if model.remote else target.zone


K = TypeVar("K", bound=Hashable)


class On(IntEnum):
    """What a stage's verdict depends on besides the target and its model; each includes those before it."""

    TABLE = 0
    """The table alone: the policy, and the operation."""
    DEMAND = 1
    """`needs` and `demand`: few kinds of requests have the same."""
    REQUEST = 2
    """Anything in the requirements."""
    NOW = 3
    """Conditions, which may be others for the next request."""


class Ask(NamedTuple):
    """What is asked of a target. What a stage does not say it depends on is not there when it judges."""

    policy: Policy
    operation: int
    needs: frozenset[int]
    demand: Demand
    requirements: Requirements
    conditions: Conditions


class Case(NamedTuple):
    """One target before the judges. `model` is what it offers under the asked name, if anything."""

    target: Target
    model: Model | None
    ask: Ask

    @property
    def offer(self) -> Model:
        """The model, behind the first stage."""
        assert self.model is not None  # noqa: S101 - refused by the first stage otherwise
        return self.model


Places = Callable[[Ask], Iterable[int]]
"""Of candidates laid out beforehand the places of those that an ask is refused by."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A pure test: the reason to refuse, or None.

    `on`: what it depends on; less lets it be judged earlier and seldomer. `many`: the same verdicts for many
    candidates at once, where judging each would take too long. `hides`: whoever is refused is not to be heard of.
    """

    name: str
    refuse: Callable[[Case], str | None]
    on: On = On.NOW
    many: Callable[[Sequence[Candidate]], Places] | None = None
    hides: bool = False

    def among(self, candidates: Sequence[Candidate]) -> Places:
        """Lays candidates out for being judged together."""
        if self.many is not None:
            return self.many(candidates)

        def refused(ask: Ask) -> Iterable[int]:
            return [
                place
                for place, each in enumerate(candidates)
                if self.refuse(Case(each.target, each.model, ask)) is not None
            ]

        return refused


def _offers_model(case: Case) -> str | None:
    if case.model:
        return None
    target, missing = case.target, "does not offer the model"
    left_out = target.state_reason if target.state == State.ACTIVE or not target.models else ""
    return f"{missing}: {left_out}" if left_out else missing


def _does_operation(case: Case) -> str | None:
    if case.ask.operation in case.offer.operations:
        return None
    can = names(Operation, case.offer.operations) or "nothing"
    return f"cannot do {names(Operation, (case.ask.operation,))} with this model, only {can}"


def _is_in_zone(case: Case) -> str | None:
    zone = zone_of(case.target, case.offer)
    outside = sorted(case.ask.demand.zones - {zone, OPEN})
    return f"is in zone {zone}, not {' and '.join(outside)}" if outside else None


def _has_capabilities(case: Case) -> str | None:
    missing = case.ask.needs - case.offer.capabilities
    return f"lacks {names(Capability, missing)}" if missing else None


def capability_mask(capabilities: Iterable[int]) -> int:
    """A set of capabilities as the bits of a number."""
    mask = 0
    for capability in capabilities:
        mask |= 1 << capability
    return mask


def _lacking(candidates: Sequence[Candidate]) -> Places:
    masks = [each.mask for each in candidates]

    def places(ask: Ask) -> Iterable[int]:
        wanted = capability_mask(ask.needs)
        return [place for place, mask in enumerate(masks) if mask & wanted != wanted] if wanted else ()

    return places


def _has_room(case: Case) -> str | None:
    needed, context = case.ask.requirements.tokens, case.offer.context_tokens
    return f"has a context of {context} tokens, not {needed}" if 0 < context < needed else None


def _without_room(candidates: Sequence[Candidate]) -> Places:
    contexts = [each.model.context_tokens or math.inf for each in candidates]
    least = min(contexts, default=math.inf)

    def places(ask: Ask) -> Iterable[int]:
        needed = ask.requirements.tokens
        return () if needed <= least else [place for place, room in enumerate(contexts) if room < needed]

    return places


def _is_of_tier(case: Case) -> str | None:
    wanted, rank = case.ask.demand.tier, case.ask.policy.tier_rank
    if not wanted or rank(case.target.tier) >= rank(wanted):
        return None
    return f"is of tier {case.target.tier or 'none'}, below {wanted}"


def _fits_rules(case: Case) -> str | None:
    refusals = (case.ask.policy.rules[place].refuse(case.target) for place in case.ask.demand.rules)
    return next((reason for reason in refusals if reason is not None), None)


def _is_active(case: Case) -> str | None:
    if case.target.state == State.ACTIVE:
        return None
    state = names(State, (case.target.state,))
    return f"{state}: {case.target.state_reason}" if case.target.state_reason else state


def _noted(
    name: str, notes: Callable[[Conditions], Mapping[K, str]], key: Callable[[Target, Model], K]
) -> Stage:
    """A stage that refuses whom the asking process has a note about; the note is the reason."""

    def refuse(case: Case) -> str | None:
        return notes(case.ask.conditions).get(key(case.target, case.offer))

    def many(candidates: Sequence[Candidate]) -> Places:
        at: dict[K, list[int]] = {}

        def places(ask: Ask) -> Iterable[int]:
            noted = notes(ask.conditions)
            if not noted:
                return ()
            if not at:  # most tables are replaced before there is a note
                for place, each in enumerate(candidates):
                    at.setdefault(key(each.target, each.model), []).append(place)
            return [place for one in noted for place in at.get(one, ())]

        return places

    return Stage(name, refuse, On.NOW, many)


STAGES: tuple[Stage, ...] = (
    Stage("model", _offers_model, On.TABLE),
    Stage("operation", _does_operation, On.TABLE),
    Stage("zone", _is_in_zone, On.DEMAND, hides=True),
    Stage("capabilities", _has_capabilities, On.DEMAND, _lacking),
    Stage("context", _has_room, On.REQUEST, _without_room),
    Stage("tier", _is_of_tier, On.DEMAND),
    Stage("rules", _fits_rules, On.DEMAND, hides=True),
    Stage("state", _is_active, On.TABLE),
    _noted("reachable", lambda now: now.unreachable, lambda target, _: target.endpoint),
    _noted("gone", lambda now: now.gone, lambda target, _: target.id),
    _noted("ejected", lambda now: now.ejected, lambda target, model: (target.id, model.id)),
    _noted("paused", lambda now: now.paused, lambda target, model: (target.id, model.id)),
)
