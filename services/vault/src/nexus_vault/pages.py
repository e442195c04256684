"""Pages of a table whose rows are numbered, newest first. A page's token names the row it ended with."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import sqlalchemy as sa
from nexus_mesh.errors import MeshError, Reason

from nexus_vault.database import Database

__all__ = ["read_page"]

DEFAULT_PAGE = 100
MAX_PAGE = 1000


async def read_page(
    database: Database, table: sa.Table, size: int, token: str
) -> tuple[list[sa.Row[Any]], str]:
    """Up to `size` rows (0 = 100, at most 1000) and the next page's token, empty at the end.

    Raises MeshError INVALID_REQUEST.
    """
    if size < 0:
        raise _invalid("page_size", "must not be negative")
    limit = min(size or DEFAULT_PAGE, MAX_PAGE)
    statement = sa.select(table).order_by(table.c.number.desc()).limit(limit + 1)
    if token:
        statement = statement.where(table.c.number < _decode(token))
    rows = await database.read(statement)
    more = _encode(rows[limit - 1]) if len(rows) > limit else ""
    return list(rows[:limit]), more


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
