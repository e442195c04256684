"""What the operator wants of routing: the table [routing] of nexus.toml, and the part of a snapshot that is no target.

Typed here once: the router validates what people wrote; gateways read what was validated, and check nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple, Self

from nexus_operations import Unit
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nexus_routing.types import Target

__all__ = ["CHARGED", "FREE", "TIERS", "ZONE", "Policy", "Price", "Rule", "Scope", "Tariff"]

TIERS = ("economy", "standard", "premium")
"""The tiers when policy names no others, lowest first."""
ZONE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""What a zone may be called: what a certificate can carry."""

Names = tuple[str, ...]
Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)]

# Built at the first validation: gateways, which never validate, pay nothing for it.
CONFIG = ConfigDict(extra="forbid", frozen=True, defer_build=True)
MILLION, MINUTE = 1e6, 60.0


class Price(NamedTuple):
    """US dollars, each for as much as CHARGED says."""

    input: float = 0.0
    output: float = 0.0
    images: float = 0.0
    characters: float = 0.0
    input_minutes: float = 0.0
    output_minutes: float = 0.0

    @property
    def total(self) -> float:
        """What prices are compared by. Rounded, so that equal sums are equal."""
        return round(sum(self), 9)

    def cost(self, used: Mapping[Unit, float]) -> float:
        """US dollars for so much of each unit."""
        return sum(
            rate * used.get(unit, 0.0) / measure
            for rate, (unit, measure) in zip(self, CHARGED, strict=True)
            if rate
        )


CHARGED = (
    (Unit.PROMPT_TOKENS, MILLION),
    (Unit.COMPLETION_TOKENS, MILLION),
    (Unit.OUTPUT_IMAGES, 1.0),
    (Unit.INPUT_CHARACTERS, MILLION),
    (Unit.INPUT_SECONDS, MINUTE),
    (Unit.OUTPUT_SECONDS, MINUTE),
)
"""The unit that each rate of a Price is for, and how many of it."""

FREE = Price()


class Scope(BaseModel):
    """Some targets. A target is meant when it fits every field that is not empty."""

    model_config = CONFIG

    hosts: Names = Field(default=(), description="Machines, by the name they joined with.")
    backends: Names = Field(default=(), description="Names of backends.")
    kinds: Names = Field(default=(), description='Kinds of backends, for example "ollama".')
    tiers: Names = Field(default=(), description="Tiers.")
    gpus: Names = Field(
        default=(),
        description="Patterns with * and ? for names of devices, in any case. Backends whose devices are not known do "
        "not fit.",
    )

    def __bool__(self) -> bool:
        return bool(self.hosts or self.backends or self.kinds or self.tiers or self.gpus)

    def holds(self, target: Target) -> bool:
        """Whether the target is meant."""
        # Asked for every target by every rule and tariff, and reading a model's attribute costs twice its dict.
        names: Mapping[str, Names] = self.__dict__
        return (
            (not names["hosts"] or target.host in names["hosts"])
            and (not names["backends"] or target.backend in names["backends"])
            and (not names["kinds"] or target.kind in names["kinds"])
            and (not names["tiers"] or target.tier in names["tiers"])
            and (not names["gpus"] or self._names_gpu(target))
        )

    def _names_gpu(self, target: Target) -> bool:
        return any(
            fnmatchcase(name.lower(), pattern.lower()) for name in target.gpus for pattern in self.gpus
        )


ALL = Scope.model_construct()


class Rule(BaseModel):
    """For some requests, who may serve them."""

    model_config = CONFIG

    name: str = Field(min_length=1, max_length=128, description="Shows in reasons.")
    models: Names = Field(default=(), description="Patterns with * and ? for models or aliases. Empty = all.")
    tenants: Names = Field(default=(), description="Whose requests. Empty = everybody's.")
    only: Scope = Field(default=ALL, description="Only these may serve.")
    never: Scope = Field(default=ALL, description="These may not serve.")
    zone: str = Field(default="", description="The privacy zone whoever serves them must be in. Empty = any.")

    def applies(self, names: tuple[str, ...], tenant: str) -> bool:
        """Whether a request by these names of this tenant is meant."""
        if self.tenants and tenant not in self.tenants:
            return False
        return not self.models or any(fnmatchcase(name, each) for name in names for each in self.models)

    def refuse(self, target: Target) -> str | None:
        """Why the target may not serve such a request; None when it may."""
        only, never = self.only, self.never
        if only is not ALL and not only.holds(target):
            return f"is not among those rule '{self.name}' allows"
        if never is not ALL and never and never.holds(target):
            return f"is excluded by rule '{self.name}'"
        return None

    @field_validator("zone")
    @classmethod
    def _is_a_name(cls, zone: str) -> str:
        return zone and _zone(zone)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.zone or self.only or self.never):
            raise ValueError(
                f"rule {self.name!r} neither allows nor excludes anything: give it a `zone`, or `only` or `never` with "
                "hosts, backends, kinds, tiers or gpus"
            )
        return self


class Tariff(Scope):
    """What some backends ask for some models. Of those that fit the first counts; without one it costs nothing."""

    models: Names = Field(
        default=(), description="Patterns with * and ? for the backend's own names of models. Empty = all."
    )
    input: Dollars = Field(default=0.0, description="US dollars per million tokens of the prompt.")
    output: Dollars = Field(default=0.0, description="US dollars per million tokens of the answer.")
    images: Dollars = Field(default=0.0, description="US dollars per picture that is made.")
    characters: Dollars = Field(default=0.0, description="US dollars per million characters that are spoken.")
    input_minutes: Dollars = Field(
        default=0.0, description="US dollars per minute of sound that is listened to."
    )
    output_minutes: Dollars = Field(
        default=0.0, description="US dollars per minute of sound or video that is made."
    )

    @property
    def price(self) -> Price:
        return Price(*(getattr(self, rate) for rate in Price._fields))

    def means(self, model: str) -> bool:
        """Whether it is about the model."""
        return not self.models or any(fnmatchcase(model, each) for each in self.models)


class Policy(BaseModel):
    """Table [routing] of nexus.toml. A further wish is a field here and one of its name in nexus.router.v1.Snapshot."""

    model_config = CONFIG

    aliases: dict[str, str] = Field(
        default_factory=dict, description="Model names that stand for others, perhaps over several steps."
    )
    zones: dict[str, str] = Field(
        default_factory=dict,
        description="Model or alias -> the privacy zone that whoever serves it must be in.",
    )
    fallbacks: dict[str, Names] = Field(
        default_factory=dict,
        description="Model or alias -> models that may stand in for it, in this order; theirs are not followed.",
    )
    overflow_to_fallbacks: bool = Field(
        default=False, description="Whether fallbacks also stand in while every place of a model is taken."
    )
    tiers: dict[str, str] = Field(
        default_factory=dict, description="Model or alias -> the lowest tier that may serve it."
    )
    tier_order: Names = Field(default=TIERS, min_length=1, description="All tiers, lowest first.")
    tier_drop: Names = Field(
        default=(), description="Models or aliases a lower tier may serve when no other can."
    )
    resume: Names = Field(
        default=(),
        description="Models or aliases, * and ? allowed, whose cut streams another backend of the same model goes on "
        "with, if it can.",
    )
    hedge: dict[str, Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)]] = Field(
        default_factory=dict,
        description="Models or aliases, * and ? allowed -> seconds after which a second backend is asked too for a "
        "whole answer that is not there yet. At most a fifth of all requests are asked twice.",
    )
    crossing: dict[str, Literal["block", "scrub"]] = Field(
        default_factory=dict,
        description="Zone or model -> what to do when nobody inside the zone demanded by policy, key or tenant offers "
        "the model: block, or scrub and let it leave. A zone the client demands is never left. [block]",
    )
    rules: tuple[Rule, ...] = Field(default=(), description="Who may serve whom, beyond all that.")
    prices: tuple[Tariff, ...] = Field(
        default=(), description="What backends cost: of equal priority the cheaper comes first."
    )

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

    def prices_of(self, model: str, targets: Iterable[Target]) -> list[Price]:
        """What each of the targets asks for the model."""
        tariffs = [tariff for tariff in self.prices if tariff.means(model)]
        if not tariffs:
            return [FREE for _ in targets]
        return [
            next((tariff.price for tariff in tariffs if tariff.holds(target)), FREE) for target in targets
        ]

    def tier_rank(self, tier: str) -> int:
        """Higher is better; a tier nobody ordered is the lowest."""
        return self.tier_order.index(tier) if tier in self.tier_order else -1

    @field_validator("fallbacks")
    @classmethod
    def _lead_elsewhere(cls, fallbacks: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for model, chain in fallbacks.items():
            if not model or not chain or not all(chain):
                raise ValueError(f"the fallbacks of {model!r} must be names of models, at least one")
            if model in chain:
                raise ValueError(f"{model!r} cannot stand in for itself")
        return fallbacks

    @model_validator(mode="after")
    def _know_their_tiers(self) -> Self:
        for model, tier in self.tiers.items():
            if tier not in self.tier_order:
                known = ", ".join(self.tier_order)
                raise ValueError(f"the tier {tier!r} demanded for {model!r} is not in tier_order: {known}")
        return self

    @field_validator("zones")
    @classmethod
    def _are_names(cls, zones: dict[str, str]) -> dict[str, str]:
        for model, zone in zones.items():
            if not model:
                raise ValueError("a zone must be demanded for a model or an alias")
            _zone(zone)
        return zones

    @field_validator("aliases")
    @classmethod
    def _end_somewhere(cls, aliases: dict[str, str]) -> dict[str, str]:
        for alias in aliases:
            if not alias or not aliases[alias]:
                raise ValueError("an alias and what it stands for must not be empty")
            seen, name = [alias], aliases[alias]
            while name in aliases:
                if name in seen:
                    raise ValueError(f"the alias goes in a circle: {' -> '.join([*seen, name])}")
                seen.append(name)
                name = aliases[name]
        return aliases


def _zone(name: str) -> str:
    if not ZONE.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a zone: letters a to z, digits and hyphens")
    return name
