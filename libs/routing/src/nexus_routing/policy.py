"""What the operator wants of routing: the part of a snapshot that is not a target. Plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from nexus_routing.types import Target

__all__ = ["FREE", "TIERS", "Policy", "Price", "Rule", "Scope", "Tariff"]

TIERS = ("economy", "standard", "premium")
"""The tiers when policy names no others, lowest first."""
MILLION = 1e6


class Price(NamedTuple):
    """US dollars per million tokens, of the prompt and of the answer."""

    input: float = 0.0
    output: float = 0.0

    @property
    def total(self) -> float:
        """What prices are compared by. Rounded, so that equal sums are equal."""
        return round(self.input + self.output, 9)

    def cost(self, prompt_tokens: float, answer_tokens: float) -> float:
        """US dollars."""
        return (self.input * prompt_tokens + self.output * answer_tokens) / MILLION


FREE = Price()


@dataclass(frozen=True, slots=True)
class Scope:
    """Some targets. A target is meant when it fits every field that is not empty.

    `gpus` are patterns with * and ?, in any case, of which one must fit one of the target's.
    """

    hosts: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    gpus: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.backends or self.kinds or self.tiers or self.gpus)

    def holds(self, target: Target) -> bool:
        """Whether the target is meant."""
        return (
            (not self.hosts or target.host in self.hosts)
            and (not self.backends or target.backend in self.backends)
            and (not self.kinds or target.kind in self.kinds)
            and (not self.tiers or target.tier in self.tiers)
            and (not self.gpus or self._names_gpu(target))
        )

    def _names_gpu(self, target: Target) -> bool:
        return any(
            fnmatchcase(name.lower(), pattern.lower()) for name in target.gpus for pattern in self.gpus
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """For some requests, who may serve them: `only` those, and `never` those. Empty `models` or `tenants` = all.

    `models` are patterns with * and ?, for any name the request goes by. `zone`: the privacy zone whoever serves them
    must be in, "" = none is demanded.
    """

    name: str
    models: tuple[str, ...] = ()
    tenants: frozenset[str] = frozenset()
    only: Scope = Scope()
    never: Scope = Scope()
    zone: str = ""

    def applies(self, names: tuple[str, ...], tenant: str) -> bool:
        """Whether a request by these names of this tenant is meant."""
        if self.tenants and tenant not in self.tenants:
            return False
        return not self.models or any(fnmatchcase(name, each) for name in names for each in self.models)

    def refuse(self, target: Target) -> str | None:
        """Why the target may not serve such a request; None when it may."""
        if self.only and not self.only.holds(target):
            return f"is not among those rule '{self.name}' allows"
        if self.never and self.never.holds(target):
            return f"is excluded by rule '{self.name}'"
        return None


@dataclass(frozen=True, slots=True)
class Tariff:
    """What some targets ask for some models. `models`: patterns with * and ? for the target's own name, empty = all."""

    price: Price
    models: tuple[str, ...] = ()
    scope: Scope = Scope()

    def means(self, model: str) -> bool:
        """Whether it is about the model."""
        return not self.models or any(fnmatchcase(model, each) for each in self.models)


@dataclass(frozen=True, slots=True)
class Policy:
    """`aliases`: names that stand for others, perhaps over several steps. Everything else goes by model or alias.

    `zones`: the privacy zone whoever serves it must be in. `fallbacks`: models that may stand in for it, in this
    order; theirs are not followed. `tiers`: the lowest tier that may serve it, of `tier_order`, lowest first; those in
    `tier_drop` may be served by a lower one when no other can. `overflow`: fallbacks also stand in while every place
    is taken. `resume`: patterns of those whose cut streams another backend of the same model may go on with.
    `hedge`: pattern -> seconds after which a second backend is asked too for a whole answer that is not there yet.
    `crossing`: zone or model -> "scrub" or "block", for whoever asks what to do when nobody inside the zone offers the
    model; a plan itself never leaves it. `tariffs`: of those that fit a target and its model the first counts.
    """

    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    zones: Mapping[str, str] = field(default_factory=dict[str, str])
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    tiers: Mapping[str, str] = field(default_factory=dict[str, str])
    tier_order: tuple[str, ...] = TIERS
    tier_drop: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    overflow: bool = False
    resume: tuple[str, ...] = ()
    hedge: Mapping[str, float] = field(default_factory=dict[str, float])
    crossing: Mapping[str, str] = field(default_factory=dict[str, str])
    tariffs: tuple[Tariff, ...] = ()

    def names(self, asked: str, resolved: str) -> tuple[str, ...]:
        """Every name a request goes by, from the asked one over aliases to the model's own."""
        names = [asked]
        while names[-1] != resolved and (name := self.aliases.get(names[-1], resolved)) not in names:
            names.append(name)
        return tuple(names) if resolved in names else (*names, resolved)

    def knows(self, name: str) -> bool:
        """Whether the operator has said anything about the name: then it is no typing error."""
        return any(name in each for each in (self.aliases, self.zones, self.fallbacks, self.tiers))

    def may_resume(self, asked: str, resolved: str) -> bool:
        """Whether a cut stream of the model may be gone on with elsewhere."""
        return bool(self.resume) and any(
            fnmatchcase(name, each) for name in self.names(asked, resolved) for each in self.resume
        )

    def hedge_after(self, asked: str, resolved: str) -> float:
        """Seconds until a second backend is asked too; 0 = never."""
        if not self.hedge:
            return 0.0
        names = self.names(asked, resolved)
        waits = (wait for each, wait in self.hedge.items() if any(fnmatchcase(name, each) for name in names))
        return min(waits, default=0.0)

    def prices(self, model: str, targets: Iterable[Target]) -> list[Price]:
        """What each of the targets asks for the model."""
        tariffs = [tariff for tariff in self.tariffs if tariff.means(model)]
        if not tariffs:
            return [FREE for _ in targets]
        return [
            next((tariff.price for tariff in tariffs if tariff.scope.holds(target)), FREE)
            for target in targets
        ]

    def tier_rank(self, tier: str) -> int:
        """Higher is better; a tier nobody ordered is the lowest."""
        return self.tier_order.index(tier) if tier in self.tier_order else -1
