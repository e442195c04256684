"""What can be told about waiting for a place."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["QueueSettings"]


class QueueSettings(BaseModel):
    """The `[queue]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wait: float = Field(
        default=60.0,
        gt=0,
        description="Seconds a request may wait for a place, at most; a twentieth of its total time if that is less.",
    )
    stretch: float = Field(
        default=5.0,
        gt=0,
        description="The same as a multiple of the time the model's requests take; half a second is always allowed. "
        "With 0.6 no answer takes twice as long as usual, however many ask; with more, one machine serves several "
        "people in turn.",
    )
    length: int = Field(default=256, ge=0, description="Requests that may wait for one model.")
    tenant_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of a model's places one tenant gets while others wait."
    )
    bulkhead: int | None = Field(
        default=None,
        gt=0,
        description="Places assumed at a backend that does not tell how many it has; unset = no limit.",
    )
