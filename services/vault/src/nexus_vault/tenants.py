"""Tenants: what one is, and what may be said of it."""

from __future__ import annotations

import dataclasses
import datetime
import secrets
import string
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import LABEL

__all__ = [
    "DEFAULT_TENANT",
    "Tenant",
    "check_tenant_name",
    "check_weight",
    "check_zone",
    "new_id",
    "next_revision",
]

DEFAULT_TENANT = "default"
MAX_WEIGHT = 1000
ID_ALPHABET = string.ascii_lowercase + string.digits
ID_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whom keys belong to. `zone` empty = demands none. `revision`: see next_revision."""

    id: str
    name: str
    zone: str
    weight: int
    create_time: datetime.datetime
    revision: int = 0

    @classmethod
    def from_row(cls, row: sa.Row[Any]) -> Tenant:
        return cls(row.id, row.name, row.zone, row.weight, row.create_time, row.revision)

    def to_row(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def new_id() -> str:
    """Twelve random characters."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_CHARACTERS))


def next_revision(revision: int, now: datetime.datetime) -> int:
    """What a change counts as: the time in microseconds, or more; 0 is what never changed.

    By the time, so that what changes after an old store was put back is still later than all gateways have heard.
    """
    return max(revision + 1, int(now.timestamp() * 1e6))


def check_tenant_name(name: str) -> None:
    """Raises MeshError INVALID_REQUEST."""
    if LABEL.fullmatch(name) is None:
        raise _invalid("name", "must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -")


def check_zone(zone: str) -> None:
    """Raises MeshError INVALID_REQUEST unless it is empty or could be the name of a zone."""
    if zone and LABEL.fullmatch(zone) is None:
        raise _invalid("zone", "must be the name of a privacy zone: letters a to z, digits and hyphens")


def check_weight(weight: int) -> None:
    """Raises MeshError INVALID_REQUEST."""
    if not 1 <= weight <= MAX_WEIGHT:
        raise _invalid("weight", f"must be 1 to {MAX_WEIGHT}")


def _invalid(param: str, why: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, f"{param} {why}.", metadata={"param": param})
