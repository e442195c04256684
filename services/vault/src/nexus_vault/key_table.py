"""API keys in the store: inserting, revoking, listing. The writes run in the caller's transaction."""

from __future__ import annotations

import base64
import binascii
import datetime
from typing import Any

import sqlalchemy as sa
from nexus_mesh.errors import MeshError, Reason
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.database import Database
from nexus_vault.keys import Key
from nexus_vault.tables import api_keys

__all__ = ["all_keys", "insert", "page", "retire_expired", "revoke"]

DEFAULT_PAGE = 100
MAX_PAGE = 1000


async def all_keys(database: Database) -> list[tuple[Key, bytes]]:
    """Every key with its digest, oldest first."""
    rows = await database.read(sa.select(api_keys).order_by(api_keys.c.number))
    return [(Key.from_row(row), row.digest) for row in rows]


async def retire_expired(connection: AsyncConnection, name: str, now: datetime.datetime) -> list[str]:
    """Revokes an expired key of that name, so that the name is free; its id."""
    retire = (
        api_keys.update()
        .where(api_keys.c.name == name, api_keys.c.revoke_time.is_(None), api_keys.c.expire_time <= now)
        .values(revoke_time=now)
        .returning(api_keys.c.id)
    )
    return list((await connection.execute(retire)).scalars())


async def insert(connection: AsyncConnection, key: Key, digest: bytes) -> None:
    """Raises MeshError ALREADY_EXISTS when a live key has the name."""
    row = {
        "id": key.id,
        "name": key.name,
        "digest": digest,
        "create_time": key.create_time,
        "expire_time": key.expire_time,
    }
    try:
        await connection.execute(api_keys.insert().values(row))
    except IntegrityError:
        raise MeshError(
            Reason.ALREADY_EXISTS, "A live key of that name exists: revoke it first, or choose another name."
        ) from None


async def revoke(connection: AsyncConnection, id_or_name: str, now: datetime.datetime) -> Key:
    """The key, revoked now if it was not before. Raises MeshError OBJECT_NOT_FOUND.

    A name means the live key that has it, else the newest that had it.
    """
    wanted = (
        sa.select(api_keys)
        .where(sa.or_(api_keys.c.id == id_or_name, api_keys.c.name == id_or_name))
        .order_by(api_keys.c.id != id_or_name, api_keys.c.revoke_time.is_not(None), api_keys.c.number.desc())
    )
    row = (await connection.execute(wanted.limit(1))).first()
    if row is None:
        raise MeshError(Reason.OBJECT_NOT_FOUND, "No key has that id or name.", metadata={"param": "key"})
    if row.revoke_time is not None:
        return Key.from_row(row)
    end = api_keys.update().where(api_keys.c.number == row.number).values(revoke_time=now).returning(api_keys)
    return Key.from_row((await connection.execute(end)).one())


async def page(database: Database, size: int, token: str) -> tuple[list[Key], str]:
    """Up to `size` keys (0 = 100, at most 1000), newest first, and the next page's token, empty at the end.

    Raises MeshError INVALID_REQUEST.
    """
    if size < 0:
        raise _invalid("page_size", "must not be negative")
    limit = min(size or DEFAULT_PAGE, MAX_PAGE)
    statement = sa.select(api_keys).order_by(api_keys.c.number.desc()).limit(limit + 1)
    if token:
        statement = statement.where(api_keys.c.number < _decode(token))
    rows = await database.read(statement)
    more = _encode(rows[limit - 1]) if len(rows) > limit else ""
    return [Key.from_row(row) for row in rows[:limit]], more


def _encode(row: sa.Row[Any]) -> str:
    return base64.urlsafe_b64encode(f"before {row.number}".encode()).decode()


def _decode(token: str) -> int:
    try:
        word, number = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").split(" ")
        if word == "before" and number.isdigit() and len(number) < 19:
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise _invalid("page_token", "is not one this vault gave out")


def _invalid(field: str, why: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, f"{field} {why}.", metadata={"param": field})
