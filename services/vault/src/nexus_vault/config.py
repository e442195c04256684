"""Settings of the vault."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from nexus_mesh.core import WILDCARDS
from nexus_mesh.settings import ServiceSettings, service_config
from pydantic import Field, model_validator
from sqlalchemy import URL, make_url

__all__ = ["VaultSettings"]


class VaultSettings(ServiceSettings):
    """What the vault can be told."""

    model_config = service_config("vault")

    port: int = Field(7430, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    join_port: int = Field(7431, ge=0, le=65535, description="Port new members join at; 0 = any free one.")
    join_address: str = Field(
        "", description="host:port put into join tokens. Default: host and the join port."
    )
    advertise_registry: str = Field(
        "", description="host:port of the registry for who joins. Default: registry."
    )
    advertise_router: str = Field("", description="host:port of the router for who joins. Default: router.")
    advertise_vault: str = Field("", description="host:port of the vault for who joins. Default: vault.")
    certificate_ttl: float = Field(86400.0, ge=1, le=86400, description="Life of a certificate, in seconds.")
    seal_key: Path | None = Field(None, description="File of the seal key. Default: <home>/vault/seal.key.")
    database_url: str = Field("", description="SQLAlchemy URL of the store. Default: SQLite in <home>/vault.")
    operator_dir: Path | None = Field(None, description="Folder kept supplied with an operator identity.")
    key_environment: str = Field(
        "live", pattern="^[a-z0-9]{1,16}$", description="Environment named in API keys, nx_<environment>_..."
    )

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.host in WILDCARDS and not self.join_address:
            raise ValueError("join_address must be set when the vault listens on every address")
        return self

    @property
    def folder(self) -> Path:
        """Where the vault keeps its files."""
        return self.home / "vault"

    @property
    def seal_key_path(self) -> Path:
        return self.seal_key or self.folder / "seal.key"

    @property
    def store_url(self) -> URL:
        if self.database_url:
            return make_url(self.database_url)
        return URL.create("sqlite+aiosqlite", database=str(self.folder / "vault.db"))

    @property
    def store_name(self) -> str:
        """The store's place, for people: without a password."""
        url = self.store_url
        return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string()

    @property
    def control_plane(self) -> dict[str, str]:
        """Role -> host:port, as told to who joins."""
        return {
            "registry": self.advertise_registry or self.registry,
            "router": self.advertise_router or self.router,
            "vault": self.advertise_vault or self.vault,
        }
