"""Pages of a table whose rows are numbered, newest first. A page's token names the row it ended with."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from nexus_mesh.rpc import number_in, page_size, token_of

from nexus_vault.database import Database

__all__ = ["read_page"]


async def read_page(
    database: Database, table: sa.Table, size: int, token: str
) -> tuple[list[sa.Row[Any]], str]:
    """Up to `size` rows (0 = 100, at most 1000) and the next page's token, empty at the end.

    Raises MeshError INVALID_REQUEST.
    """
    limit = page_size(size)
    statement = sa.select(table).order_by(table.c.number.desc()).limit(limit + 1)
    if token:
        statement = statement.where(table.c.number < number_in(token, table.name))
    rows = await database.read(statement)
    more = token_of(table.name, str(rows[limit - 1].number)) if len(rows) > limit else ""
    return list(rows[:limit]), more
