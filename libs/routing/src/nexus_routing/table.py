"""A snapshot compiled for fast decisions: all that depends on the table alone is decided once, here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from nexus_routing.group import Group
from nexus_routing.stages import STAGES, Case, first_refusal
from nexus_routing.types import OPEN, Candidate, Conditions, Model, Policy, Requirements, Target, zone_of

__all__ = ["Table"]

LATEST = ":latest"
NOWHERE: frozenset[str] = frozenset()
NO_CONDITIONS = Conditions()
NO_POLICY = Policy()
FOLDED = tuple(stage for stage in STAGES if not stage.local)


class Table:
    """Immutable. Pools hold the candidates of a model and operation, grouped by priority, best first."""

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
        self._pools: dict[tuple[str, int, int, frozenset[str]], tuple[Group, ...]] = {}
        for name, offers in self.offers.items():
            for operation in frozenset().union(*(model.operations for _, model in offers)):
                self._pools[name, operation, 0, NOWHERE] = _fold(offers, Requirements(operation, name))

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

    def demanded(self, requirements: Requirements, model: str) -> frozenset[str]:
        """The zones a request must stay in: its own, and policy's for every name on the way to `model`."""
        zones = requirements.zones
        if policy_zones := self.policy.zones:
            names, name = {model}, requirements.model
            while name not in names:
                names.add(name)
                name = self.policy.aliases.get(name, model)
            zones = zones.union(policy_zones[name] for name in names if name in policy_zones)
        return zones - {OPEN} if zones else zones

    def pool(self, model: str, requirements: Requirements) -> tuple[Group, ...]:
        """The usable candidates of a resolved model, by priority. Empty when there are none."""
        mask, zones = _mask(requirements.needs), self.demanded(requirements, model)
        if not zones <= self._known_zones:
            return ()
        key = (model, requirements.operation, mask, zones)
        found = self._pools.get(key)
        if found is None:
            every = self._pools.get((model, requirements.operation, 0, NOWHERE))
            if every is None:
                return ()
            found = self._pools[key] = _filter(every, mask, zones)
        return found

    def operations(self, model: str) -> frozenset[int]:
        """What can be done with a resolved model right now."""
        return frozenset(
            operation
            for _, offer in self.offers.get(model, ())
            for operation in offer.operations
            if self.pool(model, Requirements(operation, model))
        )


def _fold(offers: Iterable[tuple[Target, Model]], requirements: Requirements) -> tuple[Group, ...]:
    """Runs the stages that depend on the table alone, and groups who passes by priority."""
    groups: dict[int, list[Candidate]] = defaultdict(list)
    for target, model in offers:
        if first_refusal(Case(target, model, requirements, NO_CONDITIONS), FOLDED) is None:
            groups[target.priority].append(_candidate(target, model))
    return tuple(Group(groups[priority]) for priority in sorted(groups))


def _candidate(target: Target, model: Model) -> Candidate:
    # Unknown capacity counts as one place. A model still to be loaded counts as a full house: another box
    # that has it in memory is better until it is a full house busier.
    places = float(target.load.capacity or 1)
    taken = target.load.active + target.load.queued + (0.0 if model.loaded else places)
    return Candidate(target.id, target.endpoint, target, model, _mask(model.capabilities), taken, places)


def _filter(groups: tuple[Group, ...], mask: int, zones: frozenset[str]) -> tuple[Group, ...]:
    kept = (
        [each for each in group.candidates if each.mask & mask == mask and zones <= {each.zone}]
        for group in groups
    )
    return tuple(Group(candidates) for candidates in kept if candidates)


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
