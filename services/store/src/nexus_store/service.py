"""StoreService over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
from nexus.store.v1 import store_pb2 as pb
from nexus.store.v1.store_pb2_grpc import StoreServiceServicer
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import number_in, page_size, token_of

from nexus_store import convert, rows
from nexus_store.store import Store
from nexus_store.work import Works

__all__ = ["StoreServicer"]

Context = grpc.aio.ServicerContext

STALL = 60.0
"""Seconds a sender may be silent."""


class StoreServicer(StoreServiceServicer):
    """nexus.store.v1.StoreService of a store in that privacy zone."""

    def __init__(self, store: Store, works: Works, zone: str, link_key: bytes) -> None:
        self._store = store
        self._works = works
        self._link_key = link_key
        self._zone = zone

    async def Put(self, request_iterator: AsyncIterator[pb.PutRequest], context: Context) -> pb.PutResponse:
        first = await _next(request_iterator)
        if first.WhichOneof("step") != "start":
            raise convert.invalid("start", "comes first")
        self._check_zone(first.start.zone)
        async with self._store.receive(convert.new_object(first.start, time.time())) as incoming:
            while (request := await _next(request_iterator)).WhichOneof("step") == "chunk":
                await incoming.write(convert.chunk(request.chunk))
            if request.WhichOneof("step") != "end":
                raise convert.invalid("step", "is out of order: chunks and one end follow start")
            kept = await incoming.finish(request.end.size, convert.sha256(request.end.sha256))
        return pb.PutResponse(object=convert.object_of(kept))

    def _check_zone(self, zone: str) -> None:
        if zone and zone != self._zone:
            raise MeshError(
                Reason.PRIVACY_ZONE,
                f"The file must stay in zone {zone}, and this store is in {self._zone}: run a store in {zone}.",
                metadata={"zone": zone},
            )

    async def Get(self, request: pb.GetRequest, context: Context) -> AsyncIterator[pb.GetResponse]:
        tenant, length = convert.tenant(request.tenant), convert.length(request)
        outgoing = await self._store.get(tenant, request.id, request.offset, length)
        begin = pb.GetBegin(object=convert.object_of(outgoing.object), length=outgoing.length)
        try:
            yield pb.GetResponse(begin=begin)
            async with aclosing(outgoing.blocks()) as blocks:
                async for block in blocks:
                    for at in range(0, len(block), convert.MAX_CHUNK):
                        yield pb.GetResponse(chunk=block[at : at + convert.MAX_CHUNK])
        finally:
            outgoing.reader.close()

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        one = await self._store.describe(convert.tenant(request.tenant), request.id)
        return pb.DescribeResponse(object=convert.object_of(one))

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        tenant, purpose = convert.tenant(request.tenant), convert.purpose(request.purpose)
        limit, label = page_size(request.page_size), f"{tenant}/{purpose}"
        before = number_in(request.page_token, label) if request.page_token else rows.LAST
        found = await self._store.page(tenant, purpose, before, limit + 1)
        more = token_of(label, str(found[limit - 1][0])) if len(found) > limit else ""
        objects = [convert.object_of(one) for _, one in found[:limit]]
        return pb.ListResponse(objects=objects, next_page_token=more)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteResponse:
        await self._store.delete(convert.tenant(request.tenant), request.id)
        return pb.DeleteResponse()

    async def Erase(self, request: pb.EraseRequest, context: Context) -> pb.EraseResponse:
        tenant = convert.tenant(request.tenant)
        await self._works.erase(tenant)
        return pb.EraseResponse(objects=await self._store.erase(tenant))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        used, limits = await self._store.usage(convert.tenant(request.tenant)), self._store.limits
        return pb.GetUsageResponse(
            objects=used.objects,
            bytes=used.bytes,
            objects_limit=limits.objects,
            bytes_limit=limits.bytes,
        )

    async def GetLinkKey(self, request: pb.GetLinkKeyRequest, context: Context) -> pb.GetLinkKeyResponse:
        return pb.GetLinkKeyResponse(key=self._link_key)


async def _next(steps: AsyncIterator[pb.PutRequest]) -> pb.PutRequest:
    try:
        async with asyncio.timeout(STALL):
            return await anext(steps)
    except StopAsyncIteration:
        raise convert.invalid("end", "is missing: the file was cut off, and nothing of it was kept") from None
    except TimeoutError:
        raise MeshError(
            Reason.TIMEOUT, f"Nothing came for {STALL:.0f} s: nothing of the file was kept."
        ) from None
