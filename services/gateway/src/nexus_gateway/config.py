"""What the gateway can be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from nexus_fetcher import Rules
from nexus_mesh.core import is_loopback
from nexus_mesh.settings import ModelSettings, ServiceSettings, Timeouts, service_config
from pydantic import Field, field_validator, model_validator

from nexus_gateway.admission import QueueSettings
from nexus_gateway.files import LONGEST
from nexus_gateway.http import ORIGIN, is_too_wide

__all__ = ["GatewaySettings"]

HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")


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
    hosts: tuple[str, ...] = Field(
        (),
        description="Host names an open endpoint answers to besides localhost, this machine's own name, *.local and "
        '*.internal; "*.home.arpa" stands for every name below it.',
    )
    origins: tuple[str, ...] | None = Field(
        None,
        description="Web pages whose scripts may call. Unset: pages of this machine, on any port. A list adds others "
        '("https://chat.example", "http://box:*", "chrome-extension://*"); one that is empty, or names pages of this '
        'machine itself ("http://localhost:3000"), is taken as it stands.',
    )
    connections: int = Field(
        4096,
        ge=64,
        le=65536,
        description="Clients connected at once; the longest idle makes room for the next.",
    )
    body_memory: int | None = Field(
        None,
        ge=32,
        description="Megabytes of request bodies under way at once, waiting ones too. Unset: a quarter of the memory "
        "there is, at least 64 and at most 1024.",
    )
    body_share: float = Field(
        0.5, gt=0, lt=1, description="Of `body_memory`, for one tenant while no other has any under way."
    )
    upload_size: int = Field(
        512, ge=1, le=65536, description="Megabytes of a request with files, at most; OpenAI itself takes 25."
    )
    spool_size: int = Field(
        4096,
        ge=1,
        description="Megabytes of uploaded files kept on disk on their way, of all requests; of them `body_share` for "
        "one tenant.",
    )
    spool: Path | None = Field(
        None,
        description="Folder for these. Unset: the gateway's own in its home. They never have a name there.",
    )
    fetch_urls: bool = Field(
        True,
        description="Fetch what requests name by URL, such as images of a chat: from public addresses at ports 80 and "
        "443, by a process of its own. false: a request with a URL in it is refused.",
    )
    fetch_private: tuple[str, ...] = Field(
        (),
        description='Hosts that may be fetched from though their addresses are not public: "media.lan" at ports 80 and '
        '443, "10.0.0.7:8000" at that one.',
    )
    link_seconds: int = Field(
        3600,
        ge=1,
        le=LONGEST,
        description="Seconds that a link to what was made lives (response_format 'url'), and what it leads to.",
    )
    announce: bool = Field(
        True, description="Announce the HTTP endpoint by mDNS when it listens beyond this machine."
    )
    timeouts: Timeouts = Field(Timeouts(), description="Time limits.", json_schema_extra={"toml": "timeouts"})
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

    @field_validator("hosts")
    @classmethod
    def _are_host_names(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if HOST.fullmatch(name.lower()) is None:
                raise ValueError(
                    f'{name!r} is not a host name; write "box.example" or "*.example", without a port'
                )
        return given

    @field_validator("fetch_private")
    @classmethod
    def _are_hosts(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return Rules(tuple(entry.lower() for entry in given)).private

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for origin in given or ():
            if ORIGIN.fullmatch(origin.lower()) is None or is_too_wide(origin.lower()):
                raise ValueError(
                    f'{origin!r} is not an origin; write "https://chat.example", "http://box:*" or '
                    '"chrome-extension://*"'
                )
        return given

    @property
    def needs_key(self) -> bool:
        """Whether a client of the HTTP endpoint must show an API key."""
        return self.auth == "keys" or (self.auth == "auto" and not is_loopback(self.http_host))
