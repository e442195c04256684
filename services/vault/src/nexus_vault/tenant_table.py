"""Tenants in the store. The writes run in the caller's transaction."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from nexus_mesh.core import MeshError, Reason
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.database import Database
from nexus_vault.pages import read_page
from nexus_vault.tables import tenants
from nexus_vault.tenants import Tenant, next_revision

__all__ = ["all_tenants", "change", "delete", "find", "insert", "page"]


async def all_tenants(database: Database) -> list[Tenant]:
    """Every tenant, oldest first."""
    rows = await database.read(sa.select(tenants).order_by(tenants.c.number))
    return [Tenant.from_row(row) for row in rows]


async def find(connection: AsyncConnection, name: str) -> Tenant:
    """Raises MeshError OBJECT_NOT_FOUND."""
    row = (await connection.execute(sa.select(tenants).where(tenants.c.name == name))).first()
    if row is None:
        raise MeshError(
            Reason.OBJECT_NOT_FOUND, "No tenant has that name: make it first.", metadata={"param": "tenant"}
        )
    return Tenant.from_row(row)


async def insert(connection: AsyncConnection, tenant: Tenant) -> None:
    """Raises MeshError ALREADY_EXISTS."""
    try:
        await connection.execute(tenants.insert().values(tenant.to_row()))
    except IntegrityError:
        raise MeshError(Reason.ALREADY_EXISTS, "A tenant of that name exists: choose another name.") from None


async def change(
    connection: AsyncConnection, name: str, changes: dict[str, Any], now: datetime.datetime
) -> Tenant:
    """The tenant with other values in some columns. Raises MeshError OBJECT_NOT_FOUND."""
    tenant = await find(connection, name)
    values = {**changes, "revision": next_revision(tenant.revision, now)}
    update = tenants.update().where(tenants.c.id == tenant.id).values(values).returning(tenants)
    return Tenant.from_row((await connection.execute(update)).one())


async def delete(connection: AsyncConnection, tenant: Tenant) -> None:
    await connection.execute(tenants.delete().where(tenants.c.id == tenant.id))


async def page(database: Database, size: int, token: str) -> tuple[list[Tenant], str]:
    """One page of all tenants, newest first. Raises MeshError INVALID_REQUEST."""
    rows, more = await read_page(database, tenants, size, token)
    return [Tenant.from_row(row) for row in rows], more
