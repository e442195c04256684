"""Keeps one instance's row in etcd, under a lease, for as long as it takes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.core import logger

from nexus_registry.etcd import EtcdClient, EtcdError, Lease, LeaseGoneError, put_op, unchanged
from nexus_registry.instances import health, key_of
from nexus_registry.metrics import WRITES

LEAST_INTERVAL = 0.5
URGENT_INTERVAL = 0.05
FIRST_RETRY = 0.1
LONGEST_RETRY = 5.0

log = logger("registry.writer")


class RowWriter:
    """Writes the newest state it was given; states that were overtaken meanwhile are never written.

    A connected instance's row is ours and overwrites what is there. The row of one we lost is written only
    over our own last write: whoever took the instance over meanwhile keeps it.
    """

    def __init__(self, etcd: EtcdClient, instance: Instance, ttl: int) -> None:
        self._etcd = etcd
        self._ttl = ttl
        self._instance = instance
        self._lease: Lease | None = None
        self._revision = 0
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._dirty.set()
        self._urgent.set()

    def offer(self, instance: Instance) -> None:
        """Write this soon: at once if others must know, else with what follows within half a second."""
        if health(instance) != health(self._instance):
            self._urgent.set()
        self._instance = instance
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
                    log.warning("row not written to etcd", instance=self._instance.id, reason=str(error))
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
        instance = self._instance
        if self._lease is None or self._lease.lost.is_set():
            self._lease = await self._etcd.leases.grant(self._ttl)
        key, value = key_of(instance.id), instance.SerializeToString(deterministic=True)
        try:
            if instance.connected:
                self._revision = await self._etcd.put(key, value, self._lease.id)
                return
            put = put_op(key, value, self._lease.id)
            result = await self._etcd.txn([unchanged(key, self._revision)], [put])
        except LeaseGoneError:
            self._lease.lost.set()
            raise
        if result.succeeded:
            self._revision = result.revision
