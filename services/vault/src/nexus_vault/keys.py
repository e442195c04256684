"""API keys: what one is, and how its text is made and read."""

from __future__ import annotations

import dataclasses
import datetime
import re
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from nexus_vault.tenants import DEFAULT_TENANT, new_id

__all__ = ["Key", "KeyText"]

SECRET_BYTES = 32  # 43 characters of base64url
TEXT = re.compile(r"nx_([a-z0-9]{1,16})_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. Without expire_time it never ends by itself; with revoke_time it has.

    `tenant` is a name. `zone` empty = demands none. `manage`: may load, unload and pull models. `revision`: see
    next_revision.
    """

    id: str
    name: str
    create_time: datetime.datetime
    expire_time: datetime.datetime | None
    revoke_time: datetime.datetime | None = None
    tenant: str = DEFAULT_TENANT
    zone: str = ""
    manage: bool = False
    revision: int = 0

    @classmethod
    def from_row(cls, row: sa.Row[Any]) -> Key:
        return cls(**{field.name: getattr(row, field.name) for field in dataclasses.fields(cls)})

    def to_row(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class KeyText:
    """The parts of nx_<environment>_<id>_<secret>."""

    environment: str
    id: str
    secret: str

    @classmethod
    def new(cls, environment: str) -> KeyText:
        return cls(environment, new_id(), secrets.token_urlsafe(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> KeyText | None:
        """None when the text does not have the form of a key."""
        found = TEXT.fullmatch(text)
        return cls(*found.groups()) if found else None

    def __str__(self) -> str:
        return f"nx_{self.environment}_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"KeyText(id={self.id!r}, secret=***)"
