"""A snapshot compiled for fast decisions: all that depends on the table alone is decided once, here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from nexus_routing.compiled import Compiled, by_demand, by_table, passing
from nexus_routing.demand import NO_DEMAND, Demand, Step, demand_of
from nexus_routing.group import Group
from nexus_routing.policy import Policy
from nexus_routing.price import Price
from nexus_routing.stages import STAGES, Ask, Stage
from nexus_routing.types import Candidate, Model, Requirements, Target, capability_mask, zone_of

__all__ = ["Table"]

LATEST = ":latest"
NO_POLICY = Policy.model_construct()
# Both grow with what callers ask for, within what the table knows; past this they are made anew each time.
KEPT_POOLS, KEPT_STEPS = 4096, 1024


class Table:
    """Immutable. Pools hold the candidates of a model and operation, grouped by priority and price, best first."""

    def __init__(
        self,
        targets: Iterable[Target] = (),
        policy: Policy = NO_POLICY,
        stages: Sequence[Stage] = STAGES,
    ) -> None:
        self.stages = Compiled(stages)
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
        self._pools: dict[tuple[str, int, int | None, Demand], tuple[Group, ...]] = {}
        """By model, operation, needs and demand; None = whatever they are."""
        for name, offers in self.offers.items():
            for operation in frozenset().union(*(model.operations for _, model in offers)):
                self._pools[name, operation, None, NO_DEMAND] = self._fold(name, operation)

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

    def pool(self, model: str, ask: Ask) -> tuple[Group, ...]:
        """The usable candidates of a model, by priority, then price. Empty when there are none."""
        key = (model, ask.operation, capability_mask(ask.needs), ask.demand)
        groups = self._pools.get(key)
        if groups is None:
            every = self._pools.get((model, ask.operation, None, NO_DEMAND), ())
            groups = self._filter(every, by_demand(ask))
            if every and len(self._pools) < KEPT_POOLS and ask.demand.zones <= self._known_zones:
                self._pools[key] = groups
        fitting = [group.fitting(ask) for group in groups]
        return tuple(group for group in fitting if group is not None)

    def every(self, model: str) -> list[Candidate]:
        """All that offer a resolved model, whether or not they may serve anybody."""
        offers = self.offers.get(model, ())
        prices = self.policy.prices_of(model, (target for target, _ in offers))
        return [
            _candidate(target, offer, price) for (target, offer), price in zip(offers, prices, strict=True)
        ]

    def operations(self, model: str) -> frozenset[int]:
        """What can be done with a resolved model right now."""
        return frozenset(
            operation
            for _, offer in self.offers.get(model, ())
            for operation in offer.operations
            if self._pools.get((model, operation, None, NO_DEMAND))
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
            if demand.tier and any(name in policy.tier_drop for name in names):
                yield Step(model, demand._replace(tier=""))

    def _fold(self, name: str, operation: int) -> tuple[Group, ...]:
        """Runs the stages that depend on the table alone, and groups who passes by priority and price."""
        groups: dict[tuple[int, float], list[Candidate]] = defaultdict(list)
        every = self.every(name)
        for candidate in passing(self.stages.table, every, by_table(self.policy, operation)):
            groups[candidate.standing].append(candidate)
        return tuple(Group(groups[standing], self.stages) for standing in sorted(groups))

    def _filter(self, groups: tuple[Group, ...], ask: Ask) -> tuple[Group, ...]:
        """Runs those that depend on the demand."""
        kept = [(group, passing(self.stages.demand, group.candidates, ask)) for group in groups]
        return tuple(
            group if candidates is group.candidates else Group(candidates, self.stages)
            for group, candidates in kept
            if candidates
        )


def _candidate(target: Target, model: Model, price: Price) -> Candidate:
    # Unknown capacity counts as one place. A model still to be loaded counts as a full house: another box
    # that has it in memory is better until it is a full house busier.
    places = float(target.load.capacity or 1)
    taken = target.load.active + target.load.queued + (0.0 if model.loaded else places)
    mask = capability_mask(model.capabilities)
    return Candidate(target.id, target.endpoint, target, model, mask, taken, places, price)


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
