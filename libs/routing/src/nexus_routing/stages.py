"""The stages every target passes on its way to being a candidate, as one literal tuple."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nexus_routing.demand import Demand
from nexus_routing.policy import Policy
from nexus_routing.types import OPEN, Conditions, Model, Requirements, Target, zone_of
from nexus_routing.vocabulary import Capability, Operation, State, names

__all__ = ["STAGES", "Case", "Stage", "first_refusal"]


@dataclass(frozen=True, slots=True)
class Case:
    """One target before the judges. `model` is what it offers under the asked name, if anything."""

    target: Target
    model: Model | None
    requirements: Requirements
    demand: Demand
    policy: Policy
    conditions: Conditions

    @property
    def offer(self) -> Model:
        """The model, behind the first stage."""
        assert self.model is not None  # noqa: S101 - refused by the first stage otherwise
        return self.model


@dataclass(frozen=True, slots=True)
class Stage:
    """A pure test: the reason to refuse, or None. A `local` one depends on the asker, not on the table."""

    name: str
    refuse: Callable[[Case], str | None]
    local: bool = False


def _offers_model(case: Case) -> str | None:
    if case.model:
        return None
    target, missing = case.target, "does not offer the model"
    left_out = target.state_reason if target.state == State.ACTIVE or not target.models else ""
    return f"{missing}: {left_out}" if left_out else missing


def _does_operation(case: Case) -> str | None:
    if case.requirements.operation in case.offer.operations:
        return None
    can = names(Operation, case.offer.operations) or "nothing"
    return f"cannot do {names(Operation, (case.requirements.operation,))} with this model, only {can}"


def _is_in_zone(case: Case) -> str | None:
    zone = zone_of(case.target, case.offer)
    outside = sorted(case.demand.zones - {zone, OPEN})
    return f"is in zone {zone}, not {' and '.join(outside)}" if outside else None


def _has_capabilities(case: Case) -> str | None:
    missing = case.requirements.needs - case.offer.capabilities
    return f"lacks {names(Capability, missing)}" if missing else None


def _has_room(case: Case) -> str | None:
    needed, context = case.requirements.tokens, case.offer.context_tokens
    return f"has a context of {context} tokens, not {needed}" if 0 < context < needed else None


def _is_of_tier(case: Case) -> str | None:
    wanted, rank = case.demand.tier, case.policy.tier_rank
    if not wanted or rank(case.target.tier) >= rank(wanted):
        return None
    return f"is of tier {case.target.tier or 'none'}, below {wanted}"


def _fits_rules(case: Case) -> str | None:
    refusals = (case.policy.rules[place].refuse(case.target) for place in case.demand.rules)
    return next((reason for reason in refusals if reason is not None), None)


def _is_active(case: Case) -> str | None:
    if case.target.state == State.ACTIVE:
        return None
    state = names(State, (case.target.state,))
    return f"{state}: {case.target.state_reason}" if case.target.state_reason else state


def _is_reachable(case: Case) -> str | None:
    return case.conditions.unreachable.get(case.target.endpoint)


def _is_there(case: Case) -> str | None:
    return case.conditions.gone.get(case.target.id)


def _is_not_ejected(case: Case) -> str | None:
    return case.conditions.ejected.get((case.target.id, case.offer.id))


def _is_not_paused(case: Case) -> str | None:
    return case.conditions.paused.get((case.target.id, case.offer.id))


STAGES: tuple[Stage, ...] = (
    Stage("model", _offers_model),
    Stage("operation", _does_operation),
    Stage("zone", _is_in_zone),
    Stage("capabilities", _has_capabilities),
    Stage("context", _has_room),
    Stage("tier", _is_of_tier),
    Stage("rules", _fits_rules),
    Stage("state", _is_active),
    Stage("reachable", _is_reachable, local=True),
    Stage("gone", _is_there, local=True),
    Stage("ejected", _is_not_ejected, local=True),
    Stage("paused", _is_not_paused, local=True),
)


def first_refusal(case: Case, stages: tuple[Stage, ...] = STAGES) -> tuple[Stage, str] | None:
    """The first stage that refuses and its reason; None when all let the target pass."""
    for stage in stages:
        reason = stage.refuse(case)
        if reason is not None:
            return stage, reason
    return None
