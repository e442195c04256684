"""A snapshot compiled for fast decisions: all that depends on the table alone is decided once, here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from nexus_routing.demand import NO_DEMAND, Demand, Step, demand_of
from nexus_routing.group import Group
from nexus_routing.policy import Policy
from nexus_routing.price import Price
from nexus_routing.stages import STAGES, Case, first_refusal
from nexus_routing.types import Candidate, Conditions, Model, Requirements, Target, zone_of

__all__ = ["Table"]

LATEST = ":latest"
NO_CONDITIONS = Conditions()
NO_POLICY = Policy()
FOLDED = tuple(stage for stage in STAGES if not stage.local)
# Both grow with what callers ask for, within what the table knows; past this they are made anew each time.
KEPT_POOLS, KEPT_STEPS = 4096, 1024


class Table:
    """Immutable. Pools hold the candidates of a model and operation, grouped by priority and price, best first."""

    def __init__(self, targets: Iterable[Target] = (), policy: Policy = NO_POLICY) -> None:
        self.targets = tuple(sorted(targets, key=lambda target: target.id))
        self.policy = policy
        self.offers: dict[str, list[tuple[Target, Model]]] = defaultdict(list)
        for target in self.targets:
            for model in target.models:
                self.offers[model.id].append((target, model))
        self.offers = dict(self.offers)
        self.aliases = _flatten(policy.aliases)
        self._known_zones = {zone_of(target, model) for target in self.targets for model in target.models}
        self._steps: dict[tuple[str, frozenset[str], str], tuple[Step, ...]] = {}
        self._pools: dict[tuple[str, int, int, Demand], tuple[Group, ...]] = {}
        for name, offers in self.offers.items():
            for operation in frozenset().union(*(model.operations for _, model in offers)):
                self._pools[name, operation, 0, NO_DEMAND] = self._fold(offers, Requirements(operation, name))

    @property
    def pools(self) -> int:
        """How many are kept."""
        return len(self._pools)

    def resolve(self, name: str) -> str | None:
        """The id a name stands for: its alias first, then the exact id, then Ollama's "x" for "x:latest"."""
        name = self.aliases.get(name, name)
        for spelling in (name, name + LATEST, name.removesuffix(LATEST)):
            if spelling in self.offers:
                return spelling
        return None

    def steps(self, requirements: Requirements) -> tuple[Step, ...]:
        """The models to try and what is demanded of whoever serves them: the asked one, then its fallbacks.

        Empty when none of them is offered. Where a lower tier may help out, a model has a second step without a tier.
        """
        key = (requirements.model, requirements.zones, requirements.tenant)
        found = self._steps.get(key)
        if found is None:
            found = tuple(self._chain(requirements))
            if found and len(self._steps) < KEPT_STEPS and requirements.zones <= self._known_zones:
                self._steps[key] = found
        return found

    def pool(self, step: Step, requirements: Requirements) -> tuple[Group, ...]:
        """The usable candidates of a step, by priority, then price. Empty when there are none."""
        mask, demand = _mask(requirements.needs), step.demand
        if not demand.zones <= self._known_zones:
            return ()
        key = (step.model, requirements.operation, mask, demand)
        groups = self._pools.get(key)
        if groups is None:
            every = self._pools.get((step.model, requirements.operation, 0, NO_DEMAND), ())
            groups = self._filter(every, mask, demand)
            if every and len(self._pools) < KEPT_POOLS:
                self._pools[key] = groups
        if requirements.tokens:
            fitting = (group.fitting(requirements.tokens) for group in groups)
            return tuple(group for group in fitting if group is not None)
        return groups

    def operations(self, model: str) -> frozenset[int]:
        """What can be done with a resolved model right now."""
        return frozenset(
            operation
            for _, offer in self.offers.get(model, ())
            for operation in offer.operations
            if self._pools.get((model, operation, 0, NO_DEMAND))
        )

    def _chain(self, requirements: Requirements) -> Iterable[Step]:
        policy, asked = self.policy, requirements.model
        own = policy.names(asked, self.resolve(asked) or self.aliases.get(asked, asked))
        stand_ins = next((policy.fallbacks[name] for name in own if name in policy.fallbacks), ())
        seen: set[str] = set()
        for name in (asked, *stand_ins):
            model = self.resolve(name)
            if model is None or model in seen:
                continue
            seen.add(model)
            names = own if name == asked else (*own, *policy.names(name, model))
            demand = demand_of(policy, requirements, names)
            yield Step(model, demand)
            if demand.tier and not policy.tier_drop.isdisjoint(names):
                yield Step(model, demand._replace(tier=""))

    def _fold(self, offers: Sequence[tuple[Target, Model]], requirements: Requirements) -> tuple[Group, ...]:
        """Runs the stages that depend on the table alone, and groups who passes by priority and price."""
        groups: dict[tuple[int, float], list[Candidate]] = defaultdict(list)
        prices = self.policy.prices(requirements.model, (target for target, _ in offers))
        for (target, model), price in zip(offers, prices, strict=True):
            case = Case(target, model, requirements, NO_DEMAND, self.policy, NO_CONDITIONS)
            if first_refusal(case, FOLDED) is None:
                candidate = _candidate(target, model, price)
                groups[candidate.standing].append(candidate)
        return tuple(Group(groups[standing]) for standing in sorted(groups))

    def _filter(self, groups: tuple[Group, ...], mask: int, demand: Demand) -> tuple[Group, ...]:
        policy, lowest = self.policy, self.policy.tier_rank(demand.tier)
        rules = [policy.rules[place] for place in demand.rules]
        kept = (
            [
                each
                for each in group.candidates
                if each.mask & mask == mask
                and demand.zones <= {each.zone}
                and (not demand.tier or policy.tier_rank(each.target.tier) >= lowest)
                and all(rule.refuse(each.target) is None for rule in rules)
            ]
            for group in groups
        )
        return tuple(Group(candidates) for candidates in kept if candidates)


def _candidate(target: Target, model: Model, price: Price) -> Candidate:
    # Unknown capacity counts as one place. A model still to be loaded counts as a full house: another box
    # that has it in memory is better until it is a full house busier.
    places = float(target.load.capacity or 1)
    taken = target.load.active + target.load.queued + (0.0 if model.loaded else places)
    mask = _mask(model.capabilities)
    return Candidate(target.id, target.endpoint, target, model, mask, taken, places, price)


def _mask(capabilities: Iterable[int]) -> int:
    mask = 0
    for capability in capabilities:
        mask |= 1 << capability
    return mask


def _flatten(aliases: Mapping[str, str]) -> dict[str, str]:
    """Follows aliases of aliases; those that run in a circle stand for nothing and are left out."""
    flat: dict[str, str] = {}
    for alias in aliases:
        seen, name = {alias}, aliases[alias]
        while name in aliases and name not in seen:
            seen.add(name)
            name = aliases[name]
        if name not in seen:
            flat[alias] = name
    return flat
