"""The etcd side: follows everybody's rows, and keeps a writer for each row of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from nexus_mesh.core import logger

from nexus_registry.etcd import (
    Delete,
    EtcdClient,
    EtcdError,
    KeyValue,
    Lease,
    PrefixWatch,
    Put,
    Snapshot,
)
from nexus_registry.etcd.cluster import Credentials
from nexus_registry.kind import Kind, Row
from nexus_registry.metrics import LEASES_LOST
from nexus_registry.writer import RowWriter

log = logger("registry.store")


Told = TypeVar("Told", bound=Message, contravariant=True)


class Rows(Protocol[Told]):
    """Who wants to know what the store holds."""

    def stored(self, row: Told, revision: int, /) -> None: ...

    def unstored(self, row_id: str, revision: int, /) -> None: ...


class Store(Generic[Row]):
    """The rows of a kind in etcd: a `directory.Keeper`. What it promises is done in tasks of its own, until `close`.

    `endpoints`, `credentials` and `server_name` as for EtcdClient; `lease_ttl` in seconds. `admits` tells which rows
    follow from an identity; the others are as if they were not there.
    """

    def __init__(
        self,
        kind: Kind[Row],
        endpoints: Sequence[str],
        credentials: Credentials,
        lease_ttl: int,
        admits: Callable[[Row], bool],
        server_name: str | None = None,
    ) -> None:
        self._kind = kind
        self._etcd = EtcdClient(
            endpoints, credentials, server_name=server_name, on_lease_lost=self._lease_lost
        )
        self._ttl = lease_ttl
        self._admits = admits
        self._writers: dict[str, RowWriter[Row]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._watch: PrefixWatch | None = None
        self.loaded = asyncio.Event()

    def stale_seconds(self) -> int:
        """How long etcd has not been heard of; 0 while its stream is open."""
        if self._watch is None or self._watch.connected:
            return 0
        return int(self._watch.silence)

    async def follow(self, rows: Rows[Row]) -> None:
        """Hands on the store's rows and their changes; returns only when the client is closed."""
        async with self._etcd.watch_prefix(self._kind.prefix) as watch:
            self._watch = watch
            async for update in watch:
                if isinstance(update, Snapshot):
                    self._put_all(rows, update.items)
                    self.loaded.set()
                    continue
                for change in update.changes:
                    self._apply(rows, change)

    def keep(self, row: Row) -> None:
        row_id = self._kind.id_of(row)
        writer = self._writers.get(row_id)
        if writer is not None:
            writer.offer(row)
            return
        writer = RowWriter(self._kind, self._etcd, row, self._ttl)
        self._writers[row_id] = writer
        self._tasks[row_id] = asyncio.create_task(writer.run(), name=f"row {row_id}")

    def restore(self, row: Row, revision: int) -> None:
        writer = self._writers.get(self._kind.id_of(row))
        if writer is not None:
            writer.restore(revision)

    def drop(self, row_id: str) -> None:
        writer, task = self._writers.pop(row_id), self._tasks.pop(row_id)
        task.cancel()
        self._chore(self._retire(writer, task))

    def erase(self, row_id: str) -> None:
        self._chore(self._delete(row_id))

    async def refresh(self) -> None:
        """Move to a connection made with the newest credentials."""
        try:
            await self._etcd.refresh()
        except EtcdError as error:
            log.warning("etcd not reconnected with the new certificate", reason=str(error))

    async def close(self) -> None:
        """Stop writing. Rows stay until their leases end, so that a restart finds them."""
        tasks = [*self._tasks.values(), *self._chores]
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._etcd.close()

    def _lease_lost(self, lease: Lease) -> None:
        LEASES_LOST.inc()
        for writer in self._writers.values():
            writer.lost(lease)

    def _put_all(self, rows: Rows[Row], items: Iterable[KeyValue]) -> None:
        for item in items:
            self._put(rows, item)

    def _apply(self, rows: Rows[Row], change: Put | Delete) -> None:
        if isinstance(change, Put):
            self._put(rows, change.item)
        else:
            rows.unstored(self._kind.id_in(change.key), change.mod_revision)

    def _put(self, rows: Rows[Row], item: KeyValue) -> None:
        row = self._kind.decode(item.key, item.value)
        if row is None:
            log.error("row in etcd is not one of its kind", kind=self._kind.name, key=repr(item.key)[:256])
        elif self._admits(row):
            rows.stored(row, item.mod_revision)
            return
        # Whatever stood there is gone: who registered it here writes it again.
        rows.unstored(self._kind.id_in(item.key), item.mod_revision)

    def _chore(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _retire(self, writer: RowWriter[Row], task: asyncio.Task[None]) -> None:
        # A write in flight must be over before the lease goes, or it would come after.
        await asyncio.gather(task, return_exceptions=True)
        await writer.revoke()

    async def _delete(self, row_id: str) -> None:
        try:
            await self._etcd.delete(self._kind.key(row_id))
        except EtcdError as error:
            log.warning("row not deleted from etcd", kind=self._kind.name, id=row_id, reason=str(error))
