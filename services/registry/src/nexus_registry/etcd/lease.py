"""Leases, all kept alive over one stream, and lost by this machine's own clock, not by the server's word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from nexus.etcd.v1 import rpc_pb2
from nexus_mesh.core import Backoff, telemetry

from nexus_registry.etcd.cluster import PAUSES, Cluster
from nexus_registry.etcd.connection import Connection, Stream
from nexus_registry.etcd.errors import EtcdError, LeaseGoneError, UnavailableError

BEATS_PER_TTL = 3

log = telemetry.logger("etcd")

BeatStream = Stream[rpc_pb2.LeaseKeepAliveRequest, rpc_pb2.LeaseKeepAliveResponse]


class Lease:
    """A lease that is alive until `lost` is set. Its keys must then be written again under a new lease."""

    def __init__(self, lease_id: int, ttl: int, granted: float) -> None:
        self.id = lease_id
        self.ttl = ttl
        """Seconds granted: at least what was asked for; etcd's own minimum is 2."""
        self.lost = asyncio.Event()
        self.expiry = granted + ttl
        """Loop time at which it ends unless renewed, counted from when the last answered request was sent."""
        self.due = granted + ttl / BEATS_PER_TTL
        self.sent: float | None = None
        """When the unanswered renewal was sent."""


class LeaseKeeper:
    """Grants leases and renews each every third of its TTL until it is revoked or lost."""

    def __init__(self, cluster: Cluster, on_lost: Callable[[Lease], None] | None = None) -> None:
        self._cluster = cluster
        self._on_lost = on_lost
        self._leases: dict[int, Lease] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._interrupted = False

    async def grant(self, ttl: int) -> Lease:
        """A new lease of at least `ttl` seconds, renewed from now on. Raises EtcdError."""
        granted = asyncio.get_running_loop().time()
        request = rpc_pb2.LeaseGrantRequest(ttl=ttl)
        response: rpc_pb2.LeaseGrantResponse = await self._cluster.call(
            lambda member: member.lease.LeaseGrant, request
        )
        lease = Lease(response.id, response.ttl, granted)
        self._leases[lease.id] = lease
        self._arm(lease)
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return lease

    async def revoke(self, lease: Lease) -> None:
        """End a lease; its keys are deleted at once. No error if it has ended already."""
        self._forget(lease)
        request = rpc_pb2.LeaseRevokeRequest(id=lease.id)
        with suppress(LeaseGoneError):
            await self._cluster.call(lambda member: member.lease.LeaseRevoke, request)

    async def close(self) -> None:
        """Stop renewing. Leases that were not revoked end by themselves. Safe to call twice."""
        for lease in tuple(self._leases.values()):
            self._forget(lease)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        backoff = Backoff(*PAUSES)
        while True:
            await self._wait_for_leases()
            try:
                await self._session(backoff)
            except EtcdError as error:
                if not self._interrupted:
                    log.warning("etcd lease renewal interrupted", leases=len(self._leases), reason=str(error))
                self._interrupted = True
            await backoff.wait()

    async def _wait_for_leases(self) -> None:
        while not self._leases:
            self._wake.clear()
            await self._wake.wait()

    async def _session(self, backoff: Backoff) -> None:
        connection = await self._cluster.connection()
        stream: BeatStream = connection.stream(connection.lease.LeaseKeepAlive)
        for lease in self._leases.values():
            lease.sent, lease.due = None, 0.0
        beats = asyncio.create_task(self._beat(connection, stream))
        try:
            while True:
                self._renewed(await stream.read())
                backoff.reset()
        except UnavailableError:
            self._cluster.fail(connection)
            raise
        finally:
            beats.cancel()
            stream.cancel()
            await asyncio.gather(beats, return_exceptions=True)

    async def _beat(self, connection: Connection, stream: BeatStream) -> None:
        """Renew what is due; end the session when an answer is overdue or the stream is broken."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                for lease in [lease for lease in self._leases.values() if lease.due <= loop.time()]:
                    if lease.sent is not None:
                        raise UnavailableError(f"etcd at {connection.endpoint} does not answer renewals.")
                    lease.sent = loop.time()
                    lease.due = lease.sent + lease.ttl / BEATS_PER_TTL
                    stream.send(rpc_pb2.LeaseKeepAliveRequest(id=lease.id))
                await self._sleep_until_due()
        except EtcdError:
            self._cluster.fail(connection)
            stream.cancel()

    async def _sleep_until_due(self) -> None:
        if not self._leases:
            await self._wake.wait()
            return
        due = min(lease.due for lease in self._leases.values())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._wake.wait()

    def _renewed(self, response: rpc_pb2.LeaseKeepAliveResponse) -> None:
        lease = self._leases.get(response.id)
        if lease is None or lease.sent is None:
            return
        if response.ttl <= 0:
            self._lose(lease, "etcd does not know it any more")
            return
        self._interrupted = False
        lease.expiry, lease.sent = lease.sent + response.ttl, None
        self._arm(lease)

    def _arm(self, lease: Lease) -> None:
        timer = self._timers.pop(lease.id, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[lease.id] = loop.call_at(lease.expiry, self._lose, lease, "no renewal within its TTL")

    def _lose(self, lease: Lease, reason: str) -> None:
        log.warning("etcd lease lost", lease=f"{lease.id:x}", ttl=lease.ttl, reason=reason)
        self._forget(lease)
        lease.lost.set()
        if self._on_lost is not None:
            self._on_lost(lease)

    def _forget(self, lease: Lease) -> None:
        self._leases.pop(lease.id, None)
        timer = self._timers.pop(lease.id, None)
        if timer is not None:
            timer.cancel()
