"""Settings of the store."""

from __future__ import annotations

from pathlib import Path

from nexus_mesh.settings import ServiceSettings, service_config
from pydantic import Field, SecretStr

__all__ = ["StoreSettings"]


class StoreSettings(ServiceSettings):
    """What the store can be told."""

    model_config = service_config("store")

    port: int = Field(7435, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    database_url: SecretStr = Field(
        SecretStr(""), description="postgresql:// URL of the rows. Default: SQLite in <home>/store."
    )
    max_object_bytes: int = Field(1 << 30, ge=1, description="Bytes of one file at most.")
    quota_bytes: int = Field(10 << 30, ge=0, description="Bytes one tenant may keep; 0 = no limit.")
    quota_objects: int = Field(100_000, ge=0, description="Files one tenant may keep; 0 = no limit.")
    retention: float = Field(
        0.0, ge=0, le=3.2e9, description="Seconds a file is kept at most; 0 = until it is deleted."
    )
    sweep_interval: float = Field(
        60.0, ge=0.05, le=86_400, description="Seconds between removals of what has expired."
    )

    @property
    def folder(self) -> Path:
        """Where the store keeps its files."""
        return self.home / "store"

    @property
    def rows(self) -> Path | str:
        """The place of the database."""
        return self.database_url.get_secret_value() or self.folder / "store.db"
