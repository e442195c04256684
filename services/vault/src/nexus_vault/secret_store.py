"""Sealed records in the store, found by the label they were sealed under."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.database import Database
from nexus_vault.seal import Label, Seal, SealBrokenError
from nexus_vault.tables import sealed

__all__ = ["any_secret", "load_secret", "save_secret"]


async def save_secret(connection: AsyncConnection, seal: Seal, label: Label, secret: bytes) -> None:
    """Seals and stores."""
    record = seal.seal(label, secret)
    await connection.execute(
        sealed.insert().values(purpose=label.purpose, name=label.name, version=label.version, record=record)
    )


async def load_secret(database: Database, seal: Seal, label: Label) -> bytes:
    """Finds and opens. Raises SealBrokenError, also when the record is gone."""
    wanted = (
        sealed.c.purpose == label.purpose,
        sealed.c.name == label.name,
        sealed.c.version == label.version,
    )
    rows = await database.read(sa.select(sealed.c.record).where(*wanted))
    if not rows:
        raise SealBrokenError("the record is missing")
    return seal.open(label, rows[0].record)


async def any_secret(database: Database) -> bool:
    """Whether anything was ever sealed into this store."""
    return bool(await database.read(sa.select(sealed.c.version).limit(1)))
