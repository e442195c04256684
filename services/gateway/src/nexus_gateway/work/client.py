"""WorkService, and the files beside it, as a gateway calls them for whoever it serves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from nexus.store.v1 import store_pb2, work_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.process import Finder
from nexus_mesh.rpc import Method, Peer
from nexus_operations import LARGEST_CHUNK

__all__ = ["LongWork", "Reading"]

WORK, STORE = "nexus.store.v1.WorkService", "nexus.store.v1.StoreService"
SUBMIT = Method(WORK, "SubmitWork", work_pb2.SubmitWorkRequest, work_pb2.SubmitWorkResponse)
GET_WORK = Method(WORK, "GetWork", work_pb2.GetWorkRequest, work_pb2.GetWorkResponse)
LIST_WORK = Method(WORK, "ListWork", work_pb2.ListWorkRequest, work_pb2.ListWorkResponse)
DELETE_WORK = Method(WORK, "DeleteWork", work_pb2.DeleteWorkRequest, work_pb2.DeleteWorkResponse)
WATCH_WORK = Method(WORK, "WatchWork", work_pb2.WatchWorkRequest, work_pb2.WatchWorkResponse)
PUT = Method(STORE, "Put", store_pb2.PutRequest, store_pb2.PutResponse)
GET = Method(STORE, "Get", store_pb2.GetRequest, store_pb2.GetResponse)
SECONDS = 15.0
"""For a call that takes a moment."""
FILE_SECONDS = 120.0
FOR_EVER = 600.0
"""Longer than any client waits by itself: a store does not come by waiting."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An object, or a range of it, that is read. `length`: bytes that `pieces` gives, each piece of 64 KiB at most."""

    object: store_pb2.Object
    length: int
    pieces: AsyncIterator[bytes]


class LongWork:
    """Calls raise MeshError: STORE_UNAVAILABLE where no store runs, OBJECT_NOT_FOUND for what the tenant has not."""

    def __init__(self, stores: Finder) -> None:
        self._stores = stores

    async def submit(self, request: work_pb2.SubmitWorkRequest) -> work_pb2.Work:
        return (await (await self._store()).unary(SUBMIT, request, timeout=SECONDS)).work

    async def get(self, tenant: str, work_id: str) -> work_pb2.Work:
        request = work_pb2.GetWorkRequest(tenant=tenant, id=work_id)
        return (await (await self._store()).unary(GET_WORK, request, timeout=SECONDS)).work

    async def listed(self, request: work_pb2.ListWorkRequest) -> work_pb2.ListWorkResponse:
        return await (await self._store()).unary(LIST_WORK, request, timeout=SECONDS)

    async def delete(self, tenant: str, work_id: str) -> None:
        request = work_pb2.DeleteWorkRequest(tenant=tenant, id=work_id)
        await (await self._store()).unary(DELETE_WORK, request, timeout=FILE_SECONDS)

    async def watch(self, tenant: str, work_id: str) -> AsyncGenerator[work_pb2.Work, None]:
        """It now and after changes, until it is over, which comes last."""
        request = work_pb2.WatchWorkRequest(tenant=tenant, id=work_id)
        async with (await self._store()).stream(WATCH_WORK, request, timeout=None) as call:
            async for message in call:
                yield message.work

    async def keep(
        self, start: store_pb2.PutStart, pieces: AsyncIterator[bytes], seconds_kept: float
    ) -> store_pb2.Object:
        """Puts a file into the store, for so long."""
        start.expire_time.CopyFrom(_from_now(seconds_kept))
        size = 0
        async with (await self._store()).duplex(PUT, timeout=FILE_SECONDS) as call:
            sent = await call.send(store_pb2.PutRequest(start=start))
            async for piece in pieces:
                for at in range(0, len(piece), LARGEST_CHUNK):
                    chunk = piece[at : at + LARGEST_CHUNK]
                    sent = sent and await call.send(store_pb2.PutRequest(chunk=chunk))
                    size += len(chunk)
            if sent:
                await call.send(store_pb2.PutRequest(end=store_pb2.PutEnd(size=size)))
                await call.close_sending()
            async for answer in call:
                return answer.object
        raise MeshError(Reason.STORE_UNAVAILABLE, "The store ended the call without keeping the file.")

    @asynccontextmanager
    async def read(
        self, tenant: str, object_id: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[Reading]:
        """Whoever reads slowly holds the store back. The pieces raise MeshError when they end too early."""
        request = store_pb2.GetRequest(tenant=tenant, id=object_id, offset=offset, length=length)
        async with (await self._store()).stream(GET, request, timeout=None) as call:
            messages = aiter(call)
            first = await anext(messages, None)
            if first is None or not first.HasField("begin"):
                raise _cut()
            begin = first.begin
            yield Reading(begin.object, begin.length, _pieces(messages, begin.length))

    async def _store(self) -> Peer:
        found = await self._stores.all()
        if not found:
            raise MeshError(
                Reason.STORE_UNAVAILABLE,
                "This needs a store, and none runs in this mesh: add a table [store] to nexus.toml (it may be empty) "
                "and start NEXUS again.",
                retry_after=FOR_EVER,
            )
        return found[0].peer


async def _pieces(messages: AsyncIterator[store_pb2.GetResponse], length: int) -> AsyncGenerator[bytes, None]:
    left = length
    async for message in messages:
        left -= len(message.chunk)
        yield message.chunk
    if left:
        raise _cut()


def _cut() -> MeshError:
    return MeshError(Reason.BACKEND_LOST, "The store ended the file before it was whole.")


def _from_now(seconds: float) -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return Timestamp(seconds=now.seconds + int(seconds))
