"""API keys in the store: inserting, changing, revoking, listing. The writes run in the caller's transaction."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from nexus_mesh.core import MeshError, Reason
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault import tenant_table
from nexus_vault.database import Database
from nexus_vault.keys import Key
from nexus_vault.pages import read_page
from nexus_vault.tables import api_keys
from nexus_vault.tenants import next_revision

__all__ = ["all_keys", "change", "count_live", "insert", "page", "retire_expired", "revoke"]


async def all_keys(database: Database) -> list[tuple[Key, bytes]]:
    """Every key with its digest, oldest first."""
    rows = await database.read(sa.select(api_keys).order_by(api_keys.c.number))
    return [(Key.from_row(row), row.digest) for row in rows]


async def retire_expired(
    connection: AsyncConnection, which: sa.ColumnElement[bool], now: datetime.datetime
) -> list[str]:
    """Revokes the expired ones of some keys; their ids."""
    retire = (
        api_keys.update()
        .where(which, api_keys.c.revoke_time.is_(None), api_keys.c.expire_time <= now)
        .values(revoke_time=now)
        .returning(api_keys.c.id)
    )
    return list((await connection.execute(retire)).scalars())


async def count_live(connection: AsyncConnection, tenant: str) -> int:
    """How many keys of a tenant are not revoked."""
    live = sa.select(sa.func.count()).where(api_keys.c.tenant == tenant, api_keys.c.revoke_time.is_(None))
    return (await connection.execute(live)).scalar_one()


async def insert(connection: AsyncConnection, key: Key, digest: bytes) -> None:
    """Raises MeshError ALREADY_EXISTS when a live key has the name, OBJECT_NOT_FOUND when there is no such tenant."""
    await tenant_table.find(connection, key.tenant)
    try:
        await connection.execute(api_keys.insert().values({**key.to_row(), "digest": digest}))
    except IntegrityError:
        raise MeshError(
            Reason.ALREADY_EXISTS, "A live key of that name exists: revoke it first, or choose another name."
        ) from None


async def change(
    connection: AsyncConnection, id_or_name: str, changes: dict[str, Any], now: datetime.datetime
) -> Key:
    """The key with other values in some columns. Raises MeshError OBJECT_NOT_FOUND when no live key is meant."""
    row = await _find(connection, id_or_name)
    if row.revoke_time is not None:
        raise MeshError(
            Reason.OBJECT_NOT_FOUND, "This key is revoked: make another one.", metadata={"param": "key"}
        )
    return await _set(connection, row, {**changes, "revision": next_revision(row.revision, now)})


async def revoke(connection: AsyncConnection, id_or_name: str, now: datetime.datetime) -> Key:
    """The key, revoked now if it was not before. Raises MeshError OBJECT_NOT_FOUND.

    A name means the live key that has it, else the newest that had it.
    """
    row = await _find(connection, id_or_name)
    if row.revoke_time is not None:
        return Key.from_row(row)
    return await _set(connection, row, {"revoke_time": now})


async def page(database: Database, size: int, token: str) -> tuple[list[Key], str]:
    """One page of all keys, newest first. Raises MeshError INVALID_REQUEST."""
    rows, more = await read_page(database, api_keys, size, token)
    return [Key.from_row(row) for row in rows], more


async def _find(connection: AsyncConnection, id_or_name: str) -> sa.Row[Any]:
    wanted = (
        sa.select(api_keys)
        .where(sa.or_(api_keys.c.id == id_or_name, api_keys.c.name == id_or_name))
        .order_by(api_keys.c.id != id_or_name, api_keys.c.revoke_time.is_not(None), api_keys.c.number.desc())
    )
    row = (await connection.execute(wanted.limit(1))).first()
    if row is None:
        raise MeshError(Reason.OBJECT_NOT_FOUND, "No key has that id or name.", metadata={"param": "key"})
    return row


async def _set(connection: AsyncConnection, row: sa.Row[Any], values: dict[str, Any]) -> Key:
    update = api_keys.update().where(api_keys.c.number == row.number).values(values).returning(api_keys)
    return Key.from_row((await connection.execute(update)).one())
