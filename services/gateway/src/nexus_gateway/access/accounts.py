"""What the vault says of a key and of the tenant it belongs to, and who that makes the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["ANONYMOUS", "NOBODY", "Account", "Key", "Principal", "Share", "Tenant"]


class Share(NamedTuple):
    """Whose share of the places a request takes. Given another weight it is another one to those who wait already."""

    id: str
    weight: float = 1.0


NOBODY = Share("")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `zones`: the privacy zones its requests must stay in, whatever else is demanded.

    `weight`: its tenant's share when requests have to wait. `manage`: may load, unload and pull models.
    `expires_at` in seconds since the epoch, None = never. `again`: who it is by now, for one that is known by its
    certificate; raises MeshError when it may not ask any more.
    """

    id: str
    name: str
    tenant: str = "default"
    weight: int = 1
    zones: frozenset[str] = frozenset()
    manage: bool = False
    expires_at: float | None = None
    again: Callable[[], Principal] | None = field(default=None, compare=False, repr=False)


ANONYMOUS = Principal("anonymous", "anonymous", manage=True)
"""Whoever calls an open endpoint. It is open to this machine only, and who is on it may run the mesh's command too."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key. Of two accounts of one key the greater `revision` is the later. `zone` empty = demands none."""

    id: str
    name: str
    zone: str = ""
    manage: bool = False
    expires_at: float | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant; `revision` and `zone` as of a key."""

    id: str = "default"
    name: str = "default"
    zone: str = ""
    weight: int = 1
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """A key with its tenant. Make it with `of`."""

    key: Key
    tenant: Tenant
    principal: Principal

    @classmethod
    def of(cls, key: Key, tenant: Tenant) -> Account:
        zones = frozenset(zone for zone in (key.zone, tenant.zone) if zone)
        principal = Principal(key.id, key.name, tenant.name, tenant.weight, zones, key.manage, key.expires_at)
        return cls(key, tenant, principal)

    def told(self, part: Key | Tenant) -> Account:
        """The account after news of its key, its tenant, or somebody else's: what is later counts."""
        key, tenant = self.key, self.tenant
        if isinstance(part, Key) and part.id == key.id and part.revision > key.revision:
            return Account.of(part, tenant)
        if isinstance(part, Tenant) and part.id == tenant.id and part.revision > tenant.revision:
            return Account.of(key, part)
        return self
