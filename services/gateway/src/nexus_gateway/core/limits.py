"""How long a request may take, and a model's own say in it."""

from __future__ import annotations

from collections.abc import Mapping

from nexus_mesh.settings import ModelSettings, Timeouts

__all__ = ["limits_by_model"]


def limits_by_model(common: Timeouts, models: Mapping[str, ModelSettings]) -> dict[str, Timeouts]:
    """The limits of every model that has its own, filled up with the common ones."""
    return {name: common.but(settings.timeouts) for name, settings in models.items()}
