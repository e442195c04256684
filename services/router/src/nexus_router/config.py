"""Settings of the router."""

from __future__ import annotations

from pathlib import Path

from nexus_mesh.settings import ServiceSettings, service_config
from nexus_routing import Policy
from pydantic import Field


class RouterSettings(ServiceSettings):
    """Table [router] of nexus.toml, and the shared table [routing]."""

    model_config = service_config("router")

    port: int = Field(7420, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    routing: Policy = Field(
        default_factory=Policy,
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
