"""Keeps one row in etcd, under a lease, for as long as it takes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Generic

from nexus_mesh.core import logger

from nexus_registry.etcd import EtcdClient, EtcdError, Lease, LeaseGoneError, put_op, unchanged
from nexus_registry.kind import Kind, Row
from nexus_registry.metrics import WRITES

LEAST_INTERVAL = 0.5
URGENT_INTERVAL = 0.05
FIRST_RETRY = 0.1
LONGEST_RETRY = 5.0

log = logger("registry.writer")


class RowWriter(Generic[Row]):
    """Writes the newest state it was given; states that were overtaken meanwhile are never written.

    A row that its kind calls owned overwrites what is there; another one only what we wrote ourselves.
    """

    def __init__(self, kind: Kind[Row], etcd: EtcdClient, row: Row, ttl: int) -> None:
        self._kind = kind
        self._etcd = etcd
        self._ttl = ttl
        self._row = row
        self._lease: Lease | None = None
        self._revision = 0
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._dirty.set()
        self._urgent.set()

    def offer(self, row: Row) -> None:
        """Write this soon: at once if others must know, else with what follows within half a second."""
        if self._kind.urgent(row) != self._kind.urgent(self._row):
            self._urgent.set()
        self._row = row
        self._dirty.set()

    def restore(self, revision: int) -> None:
        """The row was touched by somebody else at `revision`; write it again unless we have done so since."""
        if revision >= self._revision:
            self._rewrite()

    def lost(self, lease: Lease) -> None:
        if lease is self._lease:
            self._rewrite()

    async def run(self) -> None:
        """Endless: write, wait for something to write, and try again while etcd does not answer."""
        retry = FIRST_RETRY
        while True:
            await self._due()
            try:
                await self._write()
            except EtcdError as error:
                WRITES.labels("failed").inc()
                if retry == FIRST_RETRY:
                    log.warning(
                        "row not written to etcd",
                        kind=self._kind.name,
                        id=self._kind.id_of(self._row),
                        reason=str(error),
                    )
                await asyncio.sleep(retry)
                retry = min(retry * 2, LONGEST_RETRY)
                self._rewrite()
            else:
                WRITES.labels("written").inc()
                retry = FIRST_RETRY
                await asyncio.sleep(URGENT_INTERVAL)

    async def revoke(self) -> None:
        """Take the row away, as far as it is ours. Best effort: without etcd the lease ends by itself."""
        if self._lease is not None and not self._lease.lost.is_set():
            with suppress(EtcdError):
                await self._etcd.leases.revoke(self._lease)

    def _rewrite(self) -> None:
        self._urgent.set()
        self._dirty.set()

    async def _due(self) -> None:
        await self._dirty.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAST_INTERVAL):
                await self._urgent.wait()
        self._dirty.clear()
        self._urgent.clear()

    async def _write(self) -> None:
        row = self._row
        if self._lease is None or self._lease.lost.is_set():
            self._lease = await self._etcd.leases.grant(self._ttl)
        key, value = self._kind.key(self._kind.id_of(row)), self._kind.encode(row)
        try:
            if self._kind.owned(row):
                self._revision = await self._etcd.put(key, value, self._lease.id)
                return
            put = put_op(key, value, self._lease.id)
            result = await self._etcd.txn([unchanged(key, self._revision)], [put])
        except LeaseGoneError:
            self._lease.lost.set()
            raise
        if result.succeeded:
            self._revision = result.revision
