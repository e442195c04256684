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

    work_slots: int = Field(
        8, ge=1, le=1000, description="Pieces of long work (videos) that run at the same time."
    )
    work_share: int = Field(
        2,
        ge=1,
        le=1000,
        description="Of them, those of one tenant at most, so that none waits for another's many.",
    )
    work_open: int = Field(
        1000, ge=1, description="Pieces of long work that one tenant may have waiting and running."
    )
    work_deadline: float = Field(
        86_400.0, ge=1, le=3.2e9, description="Seconds after which long work fails that is not over."
    )
    work_retention: float = Field(
        604_800.0,
        ge=1,
        le=3.2e9,
        description="Seconds long work, and what came of it, is kept once it is over.",
    )

    @property
    def works(self) -> Path | str:
        """The place of the table of long work."""
        return self.database_url.get_secret_value() or self.folder / "work.db"

    @property
    def folder(self) -> Path:
        """Where the store keeps its files."""
        return self.home / "store"

    @property
    def rows(self) -> Path | str:
        """The place of the database."""
        return self.database_url.get_secret_value() or self.folder / "store.db"
