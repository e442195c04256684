"""RouterService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from nexus.router.v1 import router_pb2 as pb
from nexus.router.v1.router_pb2_grpc import RouterServiceServicer

from nexus_router.explaining import explain_on
from nexus_router.publisher import Publisher


class RouterServicer(RouterServiceServicer):
    """Serves the newest snapshot, also while the registry is away."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def WatchSnapshot(
        self, request: pb.WatchSnapshotRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchSnapshotResponse]:
        async for snapshot in self._publisher.watch():
            yield pb.WatchSnapshotResponse(snapshot=snapshot)

    async def Explain(
        self, request: pb.ExplainRequest, context: grpc.aio.ServicerContext
    ) -> pb.ExplainResponse:
        return explain_on(self._publisher.newest, request)
