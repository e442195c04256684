"""The store: durable transactions, one writer at a time, failures under one reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from nexus_mesh.core import MeshError, Reason, telemetry
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from nexus_vault import sqlite
from nexus_vault.migrate import migrate

__all__ = ["Database"]

T = TypeVar("T")

log = telemetry.logger("vault")


class Database:
    """A migrated store. `close()` waits for the writes under way."""

    def __init__(self, url: sa.URL) -> None:
        self._engine = create_async_engine(url, hide_parameters=True)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        if self._is_sqlite:
            sqlite.prepare(self._engine.sync_engine)
        self._turn = asyncio.Lock()
        self._writing: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: sa.URL) -> Database:
        """Migrates, in a thread, and opens. Raises VaultUnusableError."""
        await asyncio.to_thread(migrate, url)
        return cls(url)

    async def read(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        """All rows. Raises MeshError STORE_UNAVAILABLE."""
        with _failures_told():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement)).all()

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], then: Callable[[T], object] = lambda _: None
    ) -> T:
        """Runs `work` in one transaction and, once that is on the disk, `then` with its result.

        A caller that gives up does not part the two: what is stored is also known in memory.
        Raises MeshError STORE_UNAVAILABLE, and whatever `work` raises.
        """
        task = asyncio.create_task(self._transact(work, then))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def _transact(
        self, work: Callable[[AsyncConnection], Awaitable[T]], then: Callable[[T], object]
    ) -> T:
        with _failures_told():
            async with self._turn, self._engine.begin() as connection:
                if self._is_sqlite:
                    await connection.exec_driver_sql(sqlite.BEGIN_WRITE)
                result = await work(connection)
        then(result)
        return result

    async def close(self) -> None:
        """Lets the writes under way end, then closes."""
        await asyncio.gather(*self._writing, return_exceptions=True)
        await self._engine.dispose()


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        log.error("store failed", cause=str(cause))
        raise MeshError(
            Reason.STORE_UNAVAILABLE,
            "The vault's store did not take the request. The vault's log names the cause; try again.",
            retry_after=1.0,
        ) from None
