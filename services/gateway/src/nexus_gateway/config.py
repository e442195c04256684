"""What the gateway can be told."""

from __future__ import annotations

from typing import Literal, Self

from nexus_mesh.addresses import is_loopback
from nexus_mesh.config import ServiceSettings, service_config
from pydantic import Field, model_validator

from nexus_gateway.limits import ModelSettings, TimeLimits
from nexus_gateway.queueing.settings import QueueSettings

__all__ = ["GatewaySettings"]


class GatewaySettings(ServiceSettings):
    """Settings of the gateway: `[gateway]`, and the shared tables `[timeouts]`, `[models]` and `[queue]`."""

    model_config = service_config("gateway")

    port: int = Field(7400, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    http_host: str = Field("127.0.0.1", description="Address the HTTP endpoint listens on.")
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP endpoint; 0 = any free one.")
    auth: Literal["auto", "keys", "open"] = Field(
        "auto",
        description='Who may use the HTTP endpoint: "keys" = holders of an API key, "open" = anyone on '
        'this machine, "auto" = open on a loopback address, keys elsewhere.',
    )
    announce: bool = Field(
        True, description="Announce the HTTP endpoint by mDNS when it listens beyond this machine."
    )
    timeouts: TimeLimits = Field(
        TimeLimits(), description="Time limits.", json_schema_extra={"toml": "timeouts"}
    )
    models: dict[str, ModelSettings] = Field(
        default_factory=dict, description="Settings of single models.", json_schema_extra={"toml": "models"}
    )
    queue: QueueSettings = Field(
        QueueSettings(), description="Waiting for a place.", json_schema_extra={"toml": "queue"}
    )
    passthrough: list[str] = Field(
        default_factory=list,
        description="Parameters beyond those known here that any key may send to the engines.",
    )
    commit_after: float = Field(
        10.0,
        gt=0,
        le=60,
        description="Seconds a stream's HTTP status is held back, at most, for the first content.",
    )

    @model_validator(mode="after")
    def _is_not_exposed_and_open(self) -> Self:
        if self.auth == "open" and not is_loopback(self.http_host):
            raise ValueError(
                f'auth = "open" with http_host = "{self.http_host}" would let anyone on the network use every model; '
                'set auth = "keys" (or "auto"), or listen on 127.0.0.1'
            )
        return self

    @property
    def needs_key(self) -> bool:
        """Whether a client of the HTTP endpoint must show an API key."""
        return self.auth == "keys" or (self.auth == "auto" and not is_loopback(self.http_host))
