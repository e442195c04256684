"""The registry's etcd client: keys, watches and leases over one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nexus.etcd.v1 import rpc_pb2

from nexus_registry.etcd.cluster import READ_ATTEMPTS, Cluster, Credentials
from nexus_registry.etcd.kv import KV, PAGE_SIZE
from nexus_registry.etcd.lease import Lease, LeaseKeeper
from nexus_registry.etcd.watch import PrefixWatch

DEADLINE_SECONDS = 3.0


class EtcdClient(KV):
    """`endpoints` are host:port. `credentials` is asked for each new channel (None: plain text, for tests).

    `server_name` is the name the members' certificates carry; by default the one they are dialled by.
    `deadline` bounds each unary call, in seconds. `on_lease_lost` is called once for each lost lease.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: Credentials,
        *,
        server_name: str | None = None,
        deadline: float = DEADLINE_SECONDS,
        page_size: int = PAGE_SIZE,
        on_lease_lost: Callable[[Lease], None] | None = None,
    ) -> None:
        cluster = Cluster(endpoints, credentials, deadline, server_name)
        super().__init__(cluster, page_size)
        self.leases = LeaseKeeper(cluster, on_lease_lost)

    def watch_prefix(self, prefix: bytes, on_state: Callable[[bool], None] | None = None) -> PrefixWatch:
        """A Snapshot of the keys under `prefix`, then Changes, until closed. Use it in `async with`."""
        return PrefixWatch(self._cluster, self, prefix, on_state)

    async def status(self) -> rpc_pb2.StatusResponse:
        """What the member in use says about itself: version, leader, database size. Raises EtcdError."""
        request = rpc_pb2.StatusRequest()
        return await self._cluster.call(lambda member: member.maintenance.Status, request, READ_ATTEMPTS)

    async def refresh(self) -> None:
        """Reconnect with new credentials: watches and renewals move by themselves, calls in flight finish.

        Raises UnavailableError, and keeps the old connection, if no member accepts the new credentials.
        """
        await self._cluster.refresh()

    async def close(self) -> None:
        """End watches and renewals; leases that were not revoked end by themselves. Safe to call twice."""
        await self.leases.close()
        await self._cluster.close()
