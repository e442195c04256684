"""Settings of the registry."""

from __future__ import annotations

from nexus_mesh.settings import ServiceSettings, service_config
from pydantic import Field


class RegistrySettings(ServiceSettings):
    """Table [registry] of nexus.toml."""

    model_config = service_config("registry")

    port: int = Field(7410, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    etcd_endpoints: list[str] = Field(
        default=["127.0.0.1:2379"], min_length=1, description="host:port of the members of etcd."
    )
    lease_ttl: int = Field(
        10, ge=2, le=600, description="Seconds a row outlives this registry in etcd when nobody renews it."
    )
    grace: float = Field(
        3.0, ge=0, le=600, description="Seconds, after lease_ttl, a lost instance is still shown."
    )
    keep_alive_interval: float = Field(
        2.0,
        gt=0,
        le=60,
        description="Longest silence, in seconds, asked of services; three times it is a loss.",
    )
    load_timeout: float = Field(
        3.0, ge=0, le=60, description="Seconds readers wait at start for what etcd knows."
    )
    advertise_host: str = Field(
        "", description="Host that stands for loopback in addresses, for readers on other machines."
    )
