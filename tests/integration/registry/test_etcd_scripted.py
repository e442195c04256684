"""A scripted member, over real gRPC: what etcd does too rarely to wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from nexus.etcd.v1 import kv_pb2, rpc_pb2, rpc_pb2_grpc
from nexus_registry.etcd import EtcdClient, UnavailableError
from support.etcd_recorder import Recorder
from support.waiting import eventually

PREFIX = b"/nexus/"
HEADER = rpc_pb2.ResponseHeader(cluster_id=1, raft_term=1, revision=5)

Context = grpc.aio.ServicerContext[Any, Any]


class ScriptedMember(rpc_pb2_grpc.KVServicer, rpc_pb2_grpc.WatchServicer, rpc_pb2_grpc.MaintenanceServicer):
    """Answers each Range and each watch with the next of its script; the last one of a script repeats."""

    def __init__(self, version: str = "3.5.21") -> None:
        self.version = version
        self.listings: list[rpc_pb2.RangeResponse | grpc.StatusCode] = [rpc_pb2.RangeResponse(header=HEADER)]
        self.watches: list[list[rpc_pb2.WatchResponse]] = [[]]
        self.ranges: list[rpc_pb2.RangeRequest] = []
        self.puts = 0
        self.start_revisions: list[int] = []
        self.metadata: dict[str, str | bytes] = {}

    async def Range(self, request: rpc_pb2.RangeRequest, context: Context) -> rpc_pb2.RangeResponse:
        self.ranges.append(request)
        answer = self.listings.pop(0) if len(self.listings) > 1 else self.listings[0]
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "scripted")
        return answer

    async def Put(self, request: rpc_pb2.PutRequest, context: Context) -> rpc_pb2.PutResponse:
        self.puts += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")

    async def Watch(
        self, request_iterator: AsyncIterator[rpc_pb2.WatchRequest], context: Context
    ) -> AsyncIterator[rpc_pb2.WatchResponse]:
        self.metadata = dict(context.invocation_metadata() or ())
        async for request in request_iterator:
            self.start_revisions.append(request.create_request.start_revision)
            yield rpc_pb2.WatchResponse(header=HEADER, created=True)
            for response in self.watches.pop(0) if len(self.watches) > 1 else self.watches[0]:
                yield response

    async def Status(self, request: rpc_pb2.StatusRequest, context: Context) -> rpc_pb2.StatusResponse:
        return rpc_pb2.StatusResponse(header=HEADER, version=self.version, leader=1)


@asynccontextmanager
async def serving(member: ScriptedMember) -> AsyncIterator[EtcdClient]:
    server = grpc.aio.server()
    rpc_pb2_grpc.add_KVServicer_to_server(member, server)
    rpc_pb2_grpc.add_WatchServicer_to_server(member, server)
    rpc_pb2_grpc.add_MaintenanceServicer_to_server(member, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = EtcdClient([f"127.0.0.1:{port}"], lambda: None)
    try:
        yield client
    finally:
        await client.close()
        await server.stop(None)


def page(*keys: bytes, more: bool) -> rpc_pb2.RangeResponse:
    return rpc_pb2.RangeResponse(header=HEADER, kvs=[kv_pb2.KeyValue(key=key) for key in keys], more=more)


async def test_a_listing_that_compaction_overtook_begins_again() -> None:
    member = ScriptedMember()
    member.listings = [
        page(b"/nexus/gone", more=True),
        grpc.StatusCode.OUT_OF_RANGE,
        page(b"/nexus/a", more=True),
        page(b"/nexus/b", more=False),
    ]
    async with serving(member) as client:
        listing = await client.range(PREFIX)
    assert [item.key for item in listing.items] == [b"/nexus/a", b"/nexus/b"]
    assert [request.revision for request in member.ranges] == [0, 5, 0, 5]


async def test_a_read_is_tried_again_and_a_write_is_not() -> None:
    member = ScriptedMember()
    member.listings = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, page(b"/nexus/a", more=False)]
    async with serving(member) as client:
        assert await client.get(b"/nexus/a") is not None
        with pytest.raises(UnavailableError):
            await client.put(b"/nexus/a", b"1")
    assert (len(member.ranges), member.puts) == (3, 1)


@pytest.mark.parametrize(("version", "resumed"), [("3.5.21", 10), ("3.5.1", 6)])
async def test_a_canceled_watch_is_resumed_from_where_the_server_may_be_believed(
    version: str, resumed: int
) -> None:
    progress = rpc_pb2.WatchResponse(header=rpc_pb2.ResponseHeader(cluster_id=1, raft_term=1, revision=9))
    canceled = rpc_pb2.WatchResponse(canceled=True, cancel_reason="scripted")
    member = ScriptedMember(version)
    member.watches = [[progress, canceled], []]
    async with serving(member) as client, Recorder(client, PREFIX):
        await eventually(lambda: len(member.start_revisions) >= 2)
        assert member.start_revisions[:2] == [6, resumed]
        assert member.metadata["hasleader"] == "true"
