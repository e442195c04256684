"""Reading and writing keys."""

from __future__ import annotations

from collections.abc import Sequence

from nexus.etcd.v1 import rpc_pb2

from nexus_registry.etcd.cluster import READ_ATTEMPTS, Cluster
from nexus_registry.etcd.errors import RevisionGoneError, UnavailableError
from nexus_registry.etcd.model import KeyValue, Origin, RangeResult, TxnResult, prefix_end

PAGE_SIZE = 500
LISTING_ATTEMPTS = 3


def absent(key: bytes) -> rpc_pb2.Compare:
    """The condition that `key` does not exist."""
    return rpc_pb2.Compare(target=rpc_pb2.Compare.CREATE, key=key, create_revision=0)


def unchanged(key: bytes, mod_revision: int) -> rpc_pb2.Compare:
    """The condition that `key` is still as the change with `mod_revision` left it."""
    return rpc_pb2.Compare(target=rpc_pb2.Compare.MOD, key=key, mod_revision=mod_revision)


def put_op(key: bytes, value: bytes, lease: int = 0) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, lease=lease))


def delete_op(key: bytes) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key))


class KV:
    """Every call is bounded by the client's deadline and raises EtcdError.

    Reads are tried again on another member. Writes are sent once: after UnavailableError the caller must find
    out whether it was applied, or repeat it if that is harmless.
    """

    def __init__(self, cluster: Cluster, page_size: int = PAGE_SIZE) -> None:
        self._cluster = cluster
        self._page_size = page_size

    async def range(self, prefix: bytes) -> RangeResult:
        """All keys that start with `prefix`, linearizable, fetched in pages of one and the same revision."""
        for _ in range(LISTING_ATTEMPTS):
            try:
                return await self._pages(prefix)
            except RevisionGoneError:
                continue  # compacted, or the cluster replaced, between two pages
        raise UnavailableError(f"Compaction overtook the listing of {prefix!r} {LISTING_ATTEMPTS} times.")

    async def get(self, key: bytes) -> KeyValue | None:
        """The newest state of one key, linearizable."""
        response = await self._range(rpc_pb2.RangeRequest(key=key))
        return KeyValue.of(response.kvs[0]) if response.kvs else None

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """Write a key, bound to `lease` unless that is 0; returns the revision. Raises LeaseGoneError."""
        request = rpc_pb2.PutRequest(key=key, value=value, lease=lease)
        response: rpc_pb2.PutResponse = await self._cluster.call(lambda member: member.kv.Put, request)
        return response.header.revision

    async def delete(self, key: bytes) -> bool:
        """Delete a key; False if there was none."""
        request = rpc_pb2.DeleteRangeRequest(key=key)
        response: rpc_pb2.DeleteRangeResponse = await self._cluster.call(
            lambda member: member.kv.DeleteRange, request
        )
        return response.deleted > 0

    async def create(self, key: bytes, value: bytes, lease: int = 0) -> bool:
        """Write a key that does not exist yet; False, and nothing is written, if it does."""
        return (await self.txn([absent(key)], [put_op(key, value, lease)])).succeeded

    async def txn(
        self, conditions: Sequence[rpc_pb2.Compare], then: Sequence[rpc_pb2.RequestOp]
    ) -> TxnResult:
        """Apply `then` atomically, at one revision, if all `conditions` hold."""
        request = rpc_pb2.TxnRequest(compare=conditions, success=then)
        response: rpc_pb2.TxnResponse = await self._cluster.call(lambda member: member.kv.Txn, request)
        return TxnResult(response.succeeded, response.header.revision)

    async def _pages(self, prefix: bytes) -> RangeResult:
        request = rpc_pb2.RangeRequest(
            key=prefix or b"\0", range_end=prefix_end(prefix), limit=self._page_size
        )
        page = first = await self._range(request)
        items = [KeyValue.of(kv) for kv in page.kvs]
        while page.more:
            request.key = items[-1].key + b"\0"
            request.revision = first.header.revision
            page = await self._range(request)
            items.extend(KeyValue.of(kv) for kv in page.kvs)
        return RangeResult(first.header.revision, tuple(items), Origin.of(first.header))

    async def _range(self, request: rpc_pb2.RangeRequest) -> rpc_pb2.RangeResponse:
        return await self._cluster.call(lambda member: member.kv.Range, request, attempts=READ_ATTEMPTS)
