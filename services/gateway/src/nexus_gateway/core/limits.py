"""How long a request may take, and a model's own say in it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ModelLimits", "ModelSettings", "TimeLimits", "limits_by_model"]


class TimeLimits(BaseModel):
    """The `[timeouts]` table; all in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: float = Field(default=2.0, gt=0, description="To reach an adapter.")
    first_token: float = Field(default=120.0, gt=0, description="Silence allowed before the first content.")
    stall: float = Field(default=30.0, gt=0, description="Silence allowed between two pieces of content.")
    total: float = Field(default=1800.0, gt=0, description="A whole request, all attempts together.")


class ModelLimits(BaseModel):
    """The `[models."name".timeouts]` table: what differs from `[timeouts]` for one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: float | None = Field(default=None, gt=0)
    first_token: float | None = Field(default=None, gt=0)
    stall: float | None = Field(default=None, gt=0)
    total: float | None = Field(default=None, gt=0)


class ModelSettings(BaseModel):
    """The `[models."name"]` table, as far as the gateway reads it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    timeouts: ModelLimits = ModelLimits()


def limits_by_model(common: TimeLimits, models: Mapping[str, ModelSettings]) -> dict[str, TimeLimits]:
    """The limits of every model that has its own, filled up with the common ones."""
    return {
        name: common.model_copy(update=settings.timeouts.model_dump(exclude_none=True))
        for name, settings in models.items()
    }
