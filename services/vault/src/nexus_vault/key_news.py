"""What gateways are told of keys and tenants besides their answers."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_vault.journal import Journal
from nexus_vault.keys import Key
from nexus_vault.tenants import Tenant

__all__ = ["KeyNews", "News", "Revoked"]


@dataclass(frozen=True, slots=True)
class Revoked:
    """The key with this id is no longer good."""

    key_id: str


KeyNews = Revoked | Key | Tenant
"""Who is revoked, or who is changed: a live key or a tenant as it now is."""

News = Journal[KeyNews]
