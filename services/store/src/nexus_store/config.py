"""Settings of the store."""

from __future__ import annotations

from pathlib import Path

from nexus_mesh.settings import ServiceSettings, service_config
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

__all__ = ["S3Settings", "StoreSettings"]


class S3Settings(BaseModel):
    """Where contents lie instead of in a folder: Amazon S3, MinIO, Ceph, Garage, SeaweedFS and the like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(description="URL; http:// only where you trust the network on the way.")
    bucket: str = Field(min_length=3, max_length=63, description="It must be there already.")
    region: str = Field("us-east-1", description="Its region.")
    prefix: str = Field("nexus", description="What keys begin with; one store for each.")
    access_key_file: Path = Field(description="A file with the access key's id.")
    secret_key_file: Path = Field(description="A file with the secret that belongs to it.")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or "@" in value:
            raise ValueError("must begin with https:// or http://, without a user name")
        return value.rstrip("/")


class StoreSettings(ServiceSettings):
    """What the store can be told."""

    model_config = service_config("store")

    port: int = Field(7435, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    database_url: SecretStr = Field(
        SecretStr(""), description="postgresql:// URL of the rows. Default: SQLite in <home>/store."
    )
    s3: S3Settings | None = Field(
        None,
        description='Object storage for the contents: { endpoint = "https://...", bucket = "files", access_key_file = '
        '"...", secret_key_file = "..." }, and `region`, `prefix`. Default: a folder in <home>/store. What is kept '
        "does not move when this changes.",
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
