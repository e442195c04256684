"""WorkService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from nexus.store.v1 import work_pb2 as pb
from nexus.store.v1.work_pb2_grpc import WorkServiceServicer
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import page_size

from nexus_store.convert import tenant
from nexus_store.work.works import Works

__all__ = ["WorkServicer"]

Context = grpc.aio.ServicerContext
MOST = 999
"""Of one page: one more is looked for, and the table gives 1,000."""


class WorkServicer(WorkServiceServicer):
    """nexus.store.v1.WorkService of a store in that privacy zone."""

    def __init__(self, works: Works, zone: str) -> None:
        self._works = works
        self._zone = zone

    async def SubmitWork(self, request: pb.SubmitWorkRequest, context: Context) -> pb.SubmitWorkResponse:
        if request.zone and request.zone != self._zone:
            raise MeshError(
                Reason.PRIVACY_ZONE,
                f"This must stay in zone {request.zone}, and the store that would keep it is in {self._zone}: run a "
                f"store in {request.zone}.",
                metadata={"zone": request.zone},
            )
        return pb.SubmitWorkResponse(work=await self._works.submit(request))

    async def GetWork(self, request: pb.GetWorkRequest, context: Context) -> pb.GetWorkResponse:
        return pb.GetWorkResponse(work=await self._works.get(tenant(request.tenant), request.id))

    async def ListWork(self, request: pb.ListWorkRequest, context: Context) -> pb.ListWorkResponse:
        limit = min(page_size(request.page_size), MOST)
        found = await self._works.listed(
            tenant(request.tenant),
            request.operation,
            request.after,
            limit + 1,
            newest_first=not request.oldest_first,
        )
        return pb.ListWorkResponse(works=found[:limit], more=len(found) > limit)

    async def CancelWork(self, request: pb.CancelWorkRequest, context: Context) -> pb.CancelWorkResponse:
        return pb.CancelWorkResponse(work=await self._works.cancel(tenant(request.tenant), request.id))

    async def DeleteWork(self, request: pb.DeleteWorkRequest, context: Context) -> pb.DeleteWorkResponse:
        await self._works.delete(tenant(request.tenant), request.id)
        return pb.DeleteWorkResponse()

    async def WatchWork(
        self, request: pb.WatchWorkRequest, context: Context
    ) -> AsyncIterator[pb.WatchWorkResponse]:
        async for work in self._works.watch(tenant(request.tenant), request.id):
            yield pb.WatchWorkResponse(work=work)
