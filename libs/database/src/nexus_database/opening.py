"""Which database a place names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from nexus_mesh.core import MeshError, Reason

from nexus_database.commits import Commits
from nexus_database.schema import Schema
from nexus_database.session import Driver

__all__ = ["open_database"]

POSTGRES = ("postgresql://", "postgres://")


@asynccontextmanager
async def open_database(
    where: Path | str,
    schema: Schema,
    *,
    clock: Callable[[], float] = time.time,
    committed: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Commits, None]:
    """The tables in an SQLite file (a path; made, mode 0600, when it is missing) or in the PostgreSQL that a
    `postgresql://` URL names, brought to this version's form. `clock` gives seconds since 1970; `committed` is called
    when something changed. Raises STORE_UNAVAILABLE.
    """
    commits = Commits(_driver(where, schema), _driver(where, schema), schema, clock, committed)
    await commits.open()
    try:
        yield commits
    finally:
        await asyncio.shield(commits.close())


def _driver(where: Path | str, schema: Schema) -> Driver:
    if isinstance(where, str) and where.startswith(POSTGRES):
        try:
            from nexus_database.postgres import Postgres
        except ImportError:
            raise MeshError(
                Reason.STORE_UNAVAILABLE,
                f"A {schema.title} in PostgreSQL needs psycopg, which is not installed: "
                "install it (pip install 'psycopg[binary]'), or give a file for SQLite.",
            ) from None
        return Postgres(where, schema)
    from nexus_database.sqlite import Sqlite

    return Sqlite(Path(where), schema)
