"""Tenants in use: all in memory, as their keys are; every change is stored first."""

from __future__ import annotations

from typing import Any

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.settings import near
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault import key_table, tenant_table
from nexus_vault.clock import Clock, utc_now
from nexus_vault.database import Database
from nexus_vault.journal import Latest
from nexus_vault.key_ring import KeyRing
from nexus_vault.keys import Key
from nexus_vault.tables import api_keys
from nexus_vault.tenants import (
    DEFAULT_TENANT,
    Tenant,
    check_tenant_name,
    check_weight,
    check_zone,
    new_id,
)

__all__ = ["TenantRoll"]

log = telemetry.logger("vault")


class TenantRoll:
    """All tenants by name. What changes is told among the news of their keys; `current` has them all."""

    def __init__(self, database: Database, keys: KeyRing, clock: Clock = utc_now) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self.current: Latest[tuple[Tenant, ...]] = Latest(())

    async def load(self) -> None:
        """Reads all tenants from the store."""
        for tenant in await tenant_table.all_tenants(self._database):
            self._tenants[tenant.name] = tenant
            if tenant.revision:
                self._keys.news.append(tenant)
        self._changed()

    def named(self, name: str) -> Tenant:
        """The tenant of that name. Raises MeshError OBJECT_NOT_FOUND, with the nearest name."""
        if name not in self._tenants:
            raise MeshError(
                Reason.OBJECT_NOT_FOUND,
                f"No tenant is called {name[:64]!r}{near(name[:64], self._tenants) or '.'} "
                "`nexus tenants list` shows all; `nexus tenants create NAME` makes one.",
                metadata={"param": "tenant"},
            )
        return self._tenants[name]

    def of(self, key: Key) -> Tenant:
        """Whom a key belongs to. Raises MeshError CALLER_KEY: a key of nobody is none."""
        tenant = self._tenants.get(key.tenant)
        if tenant is None:
            raise MeshError(Reason.CALLER_KEY, "The API key is unknown, wrong, revoked or expired.")
        return tenant

    async def create(self, name: str, zone: str = "", weight: int = 1) -> Tenant:
        """A new tenant. Raises MeshError INVALID_REQUEST or ALREADY_EXISTS."""
        check_tenant_name(name)
        check_zone(zone)
        check_weight(weight)
        tenant = Tenant(new_id(), name, zone, weight, self._clock())

        async def store(connection: AsyncConnection) -> Tenant:
            await tenant_table.insert(connection, tenant)
            return tenant

        await self._database.write(store, self._keep)
        log.info("tenant created", tenant=name)
        return tenant

    async def update(self, name: str, *, zone: str | None = None, weight: int | None = None) -> Tenant:
        """The tenant with what is not None changed. Raises MeshError INVALID_REQUEST or OBJECT_NOT_FOUND."""
        changes: dict[str, Any] = {}
        if zone is not None:
            check_zone(zone)
            changes["zone"] = zone
        if weight is not None:
            check_weight(weight)
            changes["weight"] = weight
        now = self._clock()
        return await self._database.write(
            lambda connection: tenant_table.change(connection, name, changes, now), self._tell
        )

    async def delete(self, name: str) -> None:
        """Removes a tenant without live keys. Raises MeshError INVALID_REQUEST or OBJECT_NOT_FOUND."""
        if name == DEFAULT_TENANT:
            raise _in_use("Keys made without a tenant belong to it: it cannot be deleted.")
        now = self._clock()

        async def store(connection: AsyncConnection) -> list[str]:
            tenant = await tenant_table.find(connection, name)
            retired = await key_table.retire_expired(connection, api_keys.c.tenant == name, now)
            if live := await key_table.count_live(connection, name):
                raise _in_use(f"It has {live} live {'key' if live == 1 else 'keys'}: revoke them first.")
            await tenant_table.delete(connection, tenant)
            return retired

        await self._database.write(store, lambda retired: self._forget(name, retired))
        log.info("tenant deleted", tenant=name)

    async def page(self, size: int, token: str) -> tuple[list[Tenant], str]:
        """One page of all tenants, newest first, and the next one's token. Raises MeshError INVALID_REQUEST."""
        return await tenant_table.page(self._database, size, token)

    def _keep(self, tenant: Tenant) -> None:
        self._tenants[tenant.name] = tenant
        self._changed()

    def _changed(self) -> None:
        self.current.set(tuple(tenant for _, tenant in sorted(self._tenants.items())))

    def _tell(self, tenant: Tenant) -> None:
        self._keep(tenant)
        self._keys.news.append(tenant)
        log.info("tenant changed", tenant=tenant.name, zone=tenant.zone, weight=tenant.weight)

    def _forget(self, name: str, retired: list[str]) -> None:
        self._tenants.pop(name, None)
        self._changed()
        for key_id in retired:
            self._keys.forget(key_id)


def _in_use(why: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, why, metadata={"param": "tenant"})
