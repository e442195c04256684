"""Tables [[routing.rules]] of nexus.toml."""

from __future__ import annotations

from typing import Self

from nexus.router.v1 import snapshot_pb2
from nexus_mesh.identity import LABEL as ZONE
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["Names", "RuleSettings", "ScopeSettings"]

Names = tuple[str, ...]


class ScopeSettings(BaseModel):
    """Some backends: those that fit every field that is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: Names = Field(default=(), description="Machines, by the name they joined with.")
    backends: Names = Field(default=(), description="Names of backends.")
    kinds: Names = Field(default=(), description='Kinds of backends, for example "ollama".')
    tiers: Names = Field(default=(), description="Tiers.")
    gpus: Names = Field(
        default=(),
        description="Patterns with * and ? for names of devices, in any case. Backends whose devices are not known do "
        "not fit.",
    )

    def scope(self) -> snapshot_pb2.Scope:
        """The scope as gateways get it."""
        return snapshot_pb2.Scope(
            hosts=self.hosts, backends=self.backends, kinds=self.kinds, tiers=self.tiers, gpus=self.gpus
        )


class RuleSettings(BaseModel):
    """One rule: which requests it is about, and who may or may not serve them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=128, description="Shows in reasons.")
    models: Names = Field(default=(), description="Patterns with * and ? for models or aliases. Empty = all.")
    tenants: Names = Field(default=(), description="Whose requests. Empty = everybody's.")
    only: ScopeSettings = Field(default=ScopeSettings(), description="Only these may serve.")
    never: ScopeSettings = Field(default=ScopeSettings(), description="These may not serve.")

    zone: str = Field(default="", description="The privacy zone whoever serves them must be in. Empty = any.")

    @field_validator("zone")
    @classmethod
    def _is_a_name(cls, zone: str) -> str:
        if zone and not ZONE.fullmatch(zone):
            raise ValueError(f"{zone!r} is no name of a zone: letters a to z, digits and hyphens")
        return zone

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.zone:
            return self
        if not self.only.model_dump(exclude_defaults=True) and not self.never.model_dump(
            exclude_defaults=True
        ):
            raise ValueError(
                f"rule {self.name!r} neither allows nor excludes anything: give it a `zone`, or `only` or `never` with "
                "hosts, backends, kinds, tiers or gpus"
            )
        return self

    def message(self) -> snapshot_pb2.Rule:
        """The rule as gateways get it."""
        return snapshot_pb2.Rule(
            name=self.name,
            models=self.models,
            tenants=self.tenants,
            only=self.only.scope(),
            never=self.never.scope(),
            zone=self.zone,
        )
