"""Tables [[routing.prices]] of nexus.toml."""

from __future__ import annotations

from typing import Annotated

from nexus.router.v1 import snapshot_pb2
from pydantic import Field

from nexus_router.rules import Names, ScopeSettings

__all__ = ["PriceSettings"]

Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)]


class PriceSettings(ScopeSettings):
    """What some backends ask for some models. Of those that fit the first counts; without one it costs nothing."""

    models: Names = Field(
        default=(), description="Patterns with * and ? for the backend's own names of models. Empty = all."
    )
    input: Dollars = Field(default=0.0, description="US dollars per million tokens of the prompt.")
    output: Dollars = Field(default=0.0, description="US dollars per million tokens of the answer.")

    def message(self) -> snapshot_pb2.Price:
        """The price as gateways get it."""
        return snapshot_pb2.Price(
            models=self.models, scope=self.scope(), input=self.input, output=self.output
        )
