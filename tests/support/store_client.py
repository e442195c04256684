"""The store as a gateway works with it, over the mesh; and a store in this process, without it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from nexus.store.v1 import store_pb2 as pb
from nexus_database import open_database
from nexus_mesh.identity import Identity
from nexus_mesh.rpc.client import Method, Peer
from nexus_mesh.rpc.status import from_rpc_error
from nexus_store.folder import Folder
from nexus_store.rows import SCHEMA
from nexus_store.store import Store
from nexus_store.types import Limits, NewObject, Object

SERVICE = "nexus.store.v1.StoreService"
PUT = Method(SERVICE, "Put", pb.PutRequest, pb.PutResponse)
GET = Method(SERVICE, "Get", pb.GetRequest, pb.GetResponse)
DESCRIBE = Method(SERVICE, "Describe", pb.DescribeRequest, pb.DescribeResponse)
LIST = Method(SERVICE, "List", pb.ListRequest, pb.ListResponse)
DELETE = Method(SERVICE, "Delete", pb.DeleteRequest, pb.DeleteResponse)
ERASE = Method(SERVICE, "Erase", pb.EraseRequest, pb.EraseResponse)
USAGE = Method(SERVICE, "GetUsage", pb.GetUsageRequest, pb.GetUsageResponse)
CHUNK = 64 << 10
TIMEOUT = 30.0
TENANT = "t1"


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def steps(data: bytes, **start: object) -> list[pb.PutRequest]:
    """A whole file, as it is sent."""
    about = {"tenant": TENANT, "purpose": "image"} | start
    return [
        pb.PutRequest(start=pb.PutStart(**about)),  # pyright: ignore[reportArgumentType]
        *(pb.PutRequest(chunk=piece) for piece in pieces(data)),
        pb.PutRequest(end=pb.PutEnd(size=len(data), sha256=hashlib.sha256(data).digest())),
    ]


class StoreClient:
    """Calls raise MeshError."""

    def __init__(self, peer: Peer, identity: Identity) -> None:
        self.peer = peer
        self._identity = identity

    async def put(self, data: bytes, **start: object) -> pb.Object:
        return await self.send(steps(data, **start))

    async def send(self, requests: Iterable[pb.PutRequest]) -> pb.Object:
        return (await asyncio.to_thread(self._send, requests)).object

    def _send(self, requests: Iterable[pb.PutRequest]) -> pb.PutResponse:
        """By the blocking client: that for asyncio loses why a call was refused while it was writing
        (grpc/grpc#36066).
        """
        options = (("grpc.ssl_target_name_override", self.peer.server_name),)
        with grpc.secure_channel(self.peer.address, self._identity.channel_credentials(), options) as channel:
            put = channel.stream_unary(PUT.path, PUT.request.SerializeToString, PUT.response.FromString)
            try:
                return put(iter(requests), timeout=TIMEOUT)
            except grpc.RpcError as error:
                raise from_rpc_error(error) from None  # pyright: ignore[reportArgumentType]

    async def get(
        self, object_id: str, tenant: str = TENANT, *, offset: int = 0, length: int | None = None
    ) -> tuple[pb.GetBegin, bytes]:
        request = pb.GetRequest(tenant=tenant, id=object_id, offset=offset, length=length)
        begin, came = pb.GetBegin(), list[bytes]()
        async with self.peer.stream(GET, request, timeout=TIMEOUT) as call:
            async for message in call:
                if message.HasField("begin"):
                    begin = message.begin
                else:
                    came.append(message.chunk)
        assert all(0 < len(piece) <= CHUNK for piece in came)
        return begin, b"".join(came)

    async def describe(self, object_id: str, tenant: str = TENANT) -> pb.Object:
        request = pb.DescribeRequest(tenant=tenant, id=object_id)
        return (await self.peer.unary(DESCRIBE, request, timeout=TIMEOUT)).object

    async def page(
        self, tenant: str = TENANT, purpose: str = "", size: int = 0, token: str = ""
    ) -> pb.ListResponse:
        request = pb.ListRequest(tenant=tenant, purpose=purpose, page_size=size, page_token=token)
        return await self.peer.unary(LIST, request, timeout=TIMEOUT)

    async def delete(self, object_id: str, tenant: str = TENANT) -> None:
        await self.peer.unary(DELETE, pb.DeleteRequest(tenant=tenant, id=object_id), timeout=TIMEOUT)

    async def erase(self, tenant: str = TENANT) -> int:
        return (await self.peer.unary(ERASE, pb.EraseRequest(tenant=tenant), timeout=TIMEOUT)).objects

    async def usage(self, tenant: str = TENANT) -> pb.GetUsageResponse:
        return await self.peer.unary(USAGE, pb.GetUsageRequest(tenant=tenant), timeout=TIMEOUT)


# Without the mesh.


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


LIMITS = Limits(object_bytes=1 << 30)


@asynccontextmanager
async def opened(
    folder: Path, rows: Path | str, limits: Limits = LIMITS, clock: Clock | None = None
) -> AsyncGenerator[Store, None]:
    """A store with its contents in that folder."""
    clock = clock or Clock()
    folder.mkdir(exist_ok=True, mode=0o700)
    async with open_database(rows, SCHEMA, clock=clock) as commits:
        store = Store(commits, Folder(folder), limits, clock)
        await store.open()
        yield store


async def put(store: Store, data: bytes, tenant: str = TENANT, **about: object) -> Object:
    new = NewObject(tenant=tenant, **({"purpose": "image"} | about))  # pyright: ignore[reportArgumentType]
    async with store.receive(new) as incoming:
        for piece in pieces(data):
            await incoming.write(piece)
        return await incoming.finish(len(data), hashlib.sha256(data).digest())


async def got(store: Store, object_id: str, tenant: str = TENANT) -> bytes:
    outgoing = await store.get(tenant, object_id)
    return b"".join([block async for block in outgoing.blocks()])


def files(folder: Path) -> list[Path]:
    """Whatever lies in the folder of contents and of parts."""
    return sorted(path for path in folder.glob("*/**/*") if path.is_file())
