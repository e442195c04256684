"""Tables of nexus.toml that several services read: each is described once, whole, so that a slip in it is none's."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

__all__ = ["ModelSettings", "ModelTimeouts", "Timeouts"]


class ModelTimeouts(BaseModel):
    """`[models."name".timeouts]`: what differs from `[timeouts]` for one model; None = nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: PositiveFloat | None = Field(default=None, description="As in [timeouts].")
    first_token: PositiveFloat | None = Field(default=None, description="As in [timeouts].")
    stall: PositiveFloat | None = Field(default=None, description="As in [timeouts].")
    total: PositiveFloat | None = Field(default=None, description="As in [timeouts].")


class Timeouts(BaseModel):
    """`[timeouts]`, all in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: PositiveFloat = Field(default=2.0, description="To reach the next one on the way.")
    first_token: PositiveFloat = Field(default=120.0, description="Silence allowed before the first content.")
    stall: PositiveFloat = Field(default=30.0, description="Silence allowed between two pieces of content.")
    total: PositiveFloat = Field(default=1800.0, description="A whole request, all attempts together.")

    def but(self, own: ModelTimeouts) -> Timeouts:
        """These, where a model has none of its own."""
        return self.model_copy(update=own.model_dump(exclude_none=True))


class ModelSettings(BaseModel):
    """`[models."name"]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeouts: ModelTimeouts = Field(default=ModelTimeouts(), description="Its own time limits.")
    memory_gb: PositiveFloat | None = Field(
        default=None, description="Memory it takes, where its engine does not tell."
    )
    tokenizer: Path | None = Field(
        default=None, description="Its tokenizer.json, for counting where the backend does not count."
    )
