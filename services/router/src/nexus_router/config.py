"""Settings of the router."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from nexus_mesh.identity import LABEL as ZONE
from nexus_mesh.settings import ServiceSettings, service_config
from nexus_routing import TIERS
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nexus_router.prices import PriceSettings
from nexus_router.rules import RuleSettings


class RoutingSettings(BaseModel):
    """Table [routing] of nexus.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aliases: dict[str, str] = Field(
        default_factory=dict, description="Model names that stand for others, perhaps over several steps."
    )

    zones: dict[str, str] = Field(
        default_factory=dict,
        description="Model or alias -> the privacy zone that whoever serves it must be in.",
    )

    fallbacks: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Model or alias -> models that may stand in for it, in this order; theirs are not followed.",
    )
    overflow_to_fallbacks: bool = Field(
        default=False, description="Whether fallbacks also stand in while every place of a model is taken."
    )
    tiers: dict[str, str] = Field(
        default_factory=dict, description="Model or alias -> the lowest tier that may serve it."
    )
    tier_order: tuple[str, ...] = Field(default=TIERS, min_length=1, description="All tiers, lowest first.")
    tier_drop: tuple[str, ...] = Field(
        default=(), description="Models or aliases a lower tier may serve when no other can."
    )
    resume: tuple[str, ...] = Field(
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
    rules: tuple[RuleSettings, ...] = Field(default=(), description="Who may serve whom, beyond all that.")
    prices: tuple[PriceSettings, ...] = Field(
        default=(), description="What backends cost: of equal priority the cheaper comes first."
    )

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
            if not model or not ZONE.fullmatch(zone):
                raise ValueError(f"{zone!r} is no name of a zone: letters a to z, digits and hyphens")
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


class RouterSettings(ServiceSettings):
    """Table [router] of nexus.toml, and the shared table [routing]."""

    model_config = service_config("router")

    port: int = Field(7420, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    routing: RoutingSettings = Field(
        default_factory=RoutingSettings,
        description="What the operator wants of routing.",
        json_schema_extra={"toml": "routing"},
    )
    resync_grace: float = Field(
        15.0,
        ge=0,
        le=600,
        description="Seconds instances unknown to a restarted registry are still believed in.",
    )

    @property
    def policy_folder(self) -> Path:
        """Where stored policy lies."""
        return self.home / "router" / "policy"
