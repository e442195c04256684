"""A snapshot compiled for fast decisions: what depends on the table alone is decided once, here, and laid out."""

from __future__ import annotations

import math
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from zlib import crc32

from nexus_routing.compiled import Compiled, by_demand, by_table, passing
from nexus_routing.demand import NO_DEMAND, Demand, Step, steps_of
from nexus_routing.policy import Policy, Price
from nexus_routing.stages import STAGES, Ask, Candidate, Stage, capability_mask, zone_of
from nexus_routing.types import Conditions, Model, Requirements, Target

__all__ = ["LATEST", "Group", "Table"]

LATEST = ":latest"
NO_POLICY = Policy.model_construct()
# Both grow with what callers ask for, within what the table knows; past this they are made anew each time.
KEPT_POOLS, KEPT_STEPS = 4096, 1024

WINDOW = 64
FULL = 1.0
AT_EASE = 0.5
"""Load up to which the same prompt's head goes to the same target."""
POINTS = 16
"""Places of each candidate on the ring of prompt heads."""
FEW = 8
"""Up to so many, looking for the smallest again and again is quicker than sorting."""


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
        self._pools: dict[tuple[str, int, frozenset[int] | None, Demand], tuple[Group, ...]] = {}
        """By model, operation, needs and demand; None = whatever they are."""
        for name, offers in self.offers.items():
            for operation in frozenset[int]().union(*(model.operations for _, model in offers)):
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
            found = tuple(steps_of(self.policy, requirements, self.resolve, self.aliases))
            if found and len(self._steps) < KEPT_STEPS and requirements.zones <= self._known_zones:
                self._steps[key] = found
        return found

    def pool(self, model: str, ask: Ask) -> tuple[Group, ...]:
        """The usable candidates of a model, by priority, then price. Empty when there are none."""
        key = (model, ask.operation, ask.needs, ask.demand)
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


class Group:
    """Of one model; immutable. The least loaded come first, those equal in load by rotation.

    Of more than 64, those with a free place in a window that moves on with every turn come before all others. It
    bounds the work of a decision, and gateways that know the same do not all run to the same target.
    """

    def __init__(self, candidates: Iterable[Candidate], stages: Compiled) -> None:
        self.candidates = tuple(candidates)
        self._stages = stages
        self._model = self.candidates[0].model.id
        self._ids = tuple(each.id for each in self.candidates)
        self._taken = tuple(each.taken for each in self.candidates)
        self._places = tuple(each.places for each in self.candidates)
        self._by_request = [stage.among(self.candidates) for stage in stages.request]
        self._by_now = [stage.among(self.candidates) for stage in stages.now]

    def fitting(self, ask: Ask) -> Group | None:
        """Those that may serve such a request at all; None when there are none."""
        out = {place for refused in self._by_request for place in refused(ask)}
        if not out:
            return self
        kept = [each for place, each in enumerate(self.candidates) if place not in out]
        return Group(kept, self._stages) if kept else None

    def rank(self, ask: Ask, limit: int) -> list[Candidate]:
        """The best `limit` of those that are in service."""
        conditions, affinity = ask.conditions, ask.requirements.affinity
        out, size = {place for refused in self._by_now for place in refused(ask)}, len(self._ids)
        start = _start(conditions.turn, size, out)
        window = _turns(start, min(WINDOW, size), size)
        places = [place for score, place in self._least(window, conditions, out, limit) if score < FULL]
        if limit > len(places):
            # Whoever was picked above may come again, so that many more are asked for.
            every = self._least(_turns(start, size, size), conditions, out, limit + len(places))
            picked = set(places)
            places += [place for _, place in every if place not in picked]
        if affinity and (home := self._home(affinity, conditions, out)) is not None:
            places = [home, *(place for place in places if place != home)]
        return [self.candidates[place] for place in places[:limit]]

    def _home(self, affinity: int, conditions: Conditions, out: set[int]) -> int | None:
        """The place of the candidate that has seen this prompt's head before, if it can take it at ease."""
        points, places = self._ring
        place = places[bisect(points, affinity & 0xFFFFFFFF) % len(places)]
        name = self._ids[place]
        load = (self._taken[place] + conditions.active.get(name, 0)) / self._places[place]
        if slow := conditions.slow.get(self._model):
            load += slow.get(name, 0.0)
        return place if place not in out and load < AT_EASE else None

    @cached_property
    def _ring(self) -> tuple[list[int], list[int]]:
        """Consistent hashing: when a candidate comes or goes, few heads move."""
        ring = sorted(
            (crc32(f"{name} {point}".encode()), place)
            for place, name in enumerate(self._ids)
            for point in range(POINTS)
        )
        return [point for point, _ in ring], [place for _, place in ring]

    def _least(
        self, turns: Sequence[int], conditions: Conditions, out: set[int], limit: int
    ) -> list[tuple[float, int]]:
        """Load and place of the least loaded in service: what the table says and what was sent there since."""
        running, ids, taken, places = conditions.active.get, self._ids, self._taken, self._places
        scores = [(taken[i] + running(ids[i], 0)) / places[i] for i in turns]
        if slow := conditions.slow.get(self._model):
            scores = [score + slow.get(ids[i], 0.0) for i, score in zip(turns, scores, strict=True)]
        if out:
            scores = [math.inf if i in out else score for i, score in zip(turns, scores, strict=True)]
        return [(scores[i], turns[i]) for i in _smallest(scores, limit)]


def _turns(start: int, length: int, size: int) -> Sequence[int]:
    """`length` places from `start` on, round the end."""
    end = start + length
    return range(start, end) if end <= size else (*range(start, size), *range(end - size))


def _start(turn: int, size: int, out: set[int]) -> int:
    """Where the rotation begins: each one in service gets the same share of the turns."""
    if len(out) >= size:
        return 0
    start = turn % (size - len(out))
    for place in sorted(out):
        start += place <= start
    return start


def _smallest(scores: list[float], limit: int) -> list[int]:
    """Indexes of the smallest finite ones, in order; of equals the first comes first."""
    if limit > FEW:
        order = sorted(range(len(scores)), key=scores.__getitem__)[:limit]
        return [i for i in order if scores[i] < math.inf]
    rest, found = scores.copy(), list[int]()
    while len(found) < limit and (least := min(rest, default=math.inf)) < math.inf:
        found.append(rest.index(least))
        rest[found[-1]] = math.inf
    return found
