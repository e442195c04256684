"""What policy and caller together demand of whoever serves, and in which steps that may be met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from nexus_routing.policy import Policy
from nexus_routing.types import OPEN, Requirements

__all__ = ["NO_DEMAND", "Demand", "Step", "steps_of"]


class Demand(NamedTuple):
    """`zones`: all of them. `tier`: the lowest allowed, "" = any. `rules`: places in the policy of those that apply."""

    zones: frozenset[str] = frozenset()
    tier: str = ""
    rules: tuple[int, ...] = ()


class Step(NamedTuple):
    """One model under one demand. Steps are tried in order; every one keeps the zones and rules of the first."""

    model: str
    demand: Demand


NO_DEMAND = Demand()


def steps_of(
    policy: Policy,
    requirements: Requirements,
    resolve: Callable[[str], str | None],
    aliases: Mapping[str, str],
) -> Iterator[Step]:
    """The asked model and its fallbacks, of those that `resolve` finds offered, each once.

    `aliases` lead to their last name. Where a lower tier may help out, a model has a second step without a tier.
    """
    asked = requirements.model
    own = policy.names(asked, resolve(asked) or aliases.get(asked, asked))
    stand_ins = next((policy.fallbacks[name] for name in own if name in policy.fallbacks), ())
    seen: set[str] = set()
    for name in (asked, *stand_ins):
        model = resolve(name)
        if model is None or model in seen:
            continue
        seen.add(model)
        names = own if name == asked else (*own, *policy.names(name, model))
        demand = _demand_of(policy, requirements, names)
        yield Step(model, demand)
        if demand.tier and any(name in policy.tier_drop for name in names):
            yield Step(model, demand._replace(tier=""))


def _demand_of(policy: Policy, requirements: Requirements, names: tuple[str, ...]) -> Demand:
    """Of a request that goes by these names: the zones of all, the highest tier of any, every rule that applies."""
    zones = requirements.zones
    if policy.zones:
        zones = zones.union(policy.zones[name] for name in names if name in policy.zones)
    rules = tuple(
        place for place, rule in enumerate(policy.rules) if rule.applies(names, requirements.tenant)
    )
    if rules:
        zones = zones.union(zone for place in rules if (zone := policy.rules[place].zone))
    tiers = [policy.tiers[name] for name in names if name in policy.tiers] if policy.tiers else ()
    return Demand(
        zones - {OPEN} if zones else zones, max(tiers, key=policy.tier_rank) if tiers else "", rules
    )
