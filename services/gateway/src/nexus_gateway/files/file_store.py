"""The store of the mesh as the gateway uses it: found in the registry when a file comes, spoken to in pieces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from nexus.registry.v1 import instance_pb2, registry_pb2
from nexus.store.v1 import store_pb2 as pb
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import Method, Peer

from nexus_gateway.files.links import LONGEST, Link, Seal

__all__ = ["NO_STORE", "FileStore", "New", "Reading"]

SERVICE = "nexus.store.v1.StoreService"
PUT = Method(SERVICE, "Put", pb.PutRequest, pb.PutResponse)
GET = Method(SERVICE, "Get", pb.GetRequest, pb.GetResponse)
DESCRIBE = Method(SERVICE, "Describe", pb.DescribeRequest, pb.DescribeResponse)
DELETE = Method(SERVICE, "Delete", pb.DeleteRequest, pb.DeleteResponse)
KEY = Method(SERVICE, "GetLinkKey", pb.GetLinkKeyRequest, pb.GetLinkKeyResponse)
LIST = Method(
    "nexus.registry.v1.RegistryService", "List", registry_pb2.ListRequest, registry_pb2.ListResponse
)
CHUNK = 64 << 10
SECONDS = 10.0
"""For what is short."""
LONG_SECONDS = 3600.0
"""For the bytes of one file."""
RETRY_AFTER = 5.0
NO_STORE = (
    "no store runs in this mesh, so nothing is kept that a link could lead to. The operator starts one by a table "
    "[store] in nexus.toml"
)


class Dials(Protocol):
    """What is needed of Mesh."""

    def dial(self, address: str, server_name: str) -> Peer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A file before its bytes. `purpose`: 1 to 63 of a-z, 0-9, - and _. `seconds`: it goes by itself after these, 0 =
    not. `zone`: the privacy zone it must not leave. `key`: the same bytes under the same one are one file.
    """

    tenant: str
    purpose: str
    filename: str = ""
    mime_type: str = ""
    seconds: float = 0.0
    size: int | None = None
    zone: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file, how many bytes of it come, and those in pieces of at most 64 KiB."""

    object: pb.Object
    length: int
    pieces: AsyncIterator[bytes]


class FileStore:
    """Calls raise the store's own errors, and STORE_UNAVAILABLE when it can't be reached, or there is none.

    `link_seconds`: how long a link lives, and the file that is kept for nothing else.
    """

    def __init__(self, mesh: Dials, registry: Peer, link_seconds: int) -> None:
        self._mesh = mesh
        self._registry = registry
        self.link_seconds = min(link_seconds, LONGEST)
        self._found: instance_pb2.Instance | None = None
        self._seal: tuple[str, Seal] | None = None
        self._looking = asyncio.Lock()

    async def zone(self) -> str | None:
        """The privacy zone of the store there is; None = there is none. Raises STORE_UNAVAILABLE."""
        found = await self._look()
        return None if found is None else found.zone

    async def put(self, new: New, pieces: AsyncIterator[bytes]) -> pb.Object:
        """Returns once all of it is kept. What `pieces` raise is raised, and nothing is kept then.

        May raise STORAGE_QUOTA, REQUEST_TOO_LARGE, PRIVACY_ZONE, CONFLICT.
        """
        peer = await self._peer()
        try:
            return (await peer.send(PUT, _steps(new, pieces), timeout=LONG_SECONDS)).object
        except MeshError as error:
            raise self._judged(error) from None

    @asynccontextmanager
    async def get(
        self, tenant: str, object_id: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[Reading]:
        """Raises OBJECT_NOT_FOUND, INVALID_REQUEST for a range outside the file."""
        peer = await self._peer()
        request = pb.GetRequest(tenant=tenant, id=object_id, offset=offset, length=length)
        async with peer.stream(GET, request, timeout=LONG_SECONDS) as call:
            messages = aiter(call)
            try:
                first = await anext(messages, None)
            except MeshError as error:
                raise self._judged(error) from None
            if first is None or not first.HasField("begin"):
                raise MeshError(Reason.INTERNAL, "The store did not say what it sends.")
            yield Reading(first.begin.object, first.begin.length, _pieces(messages, first.begin.length))

    async def describe(self, tenant: str, object_id: str) -> pb.Object:
        """Raises OBJECT_NOT_FOUND."""
        peer, request = await self._peer(), pb.DescribeRequest(tenant=tenant, id=object_id)
        try:
            return (await peer.unary(DESCRIBE, request, timeout=SECONDS)).object
        except MeshError as error:
            raise self._judged(error) from None

    async def delete(self, tenant: str, object_id: str) -> None:
        """Raises OBJECT_NOT_FOUND."""
        peer, request = await self._peer(), pb.DeleteRequest(tenant=tenant, id=object_id)
        try:
            await peer.unary(DELETE, request, timeout=SECONDS)
        except MeshError as error:
            raise self._judged(error) from None

    async def link(self, one: pb.Object, tenant: str) -> str:
        """The path, below /v1, of a link to a file: for `link_seconds`, never longer than the file itself."""
        expires = int(time.time()) + self.link_seconds
        if one.HasField("expire_time"):
            expires = min(expires, one.expire_time.seconds)
        return (await self._sealing()).sealed(Link(tenant, one.id, expires))

    async def opened(self, token: str) -> Link:
        """What the last part of a link stands for. Raises OBJECT_NOT_FOUND, the same for all that is wrong."""
        return (await self._sealing()).opened(token, time.time())

    async def _sealing(self) -> Seal:
        """The store is asked once for its key, not for each link."""
        peer = await self._peer()
        if self._seal is None or self._seal[0] != peer.server_name:
            try:
                told = await peer.unary(KEY, pb.GetLinkKeyRequest(), timeout=SECONDS)
            except MeshError as error:
                raise self._judged(error) from None
            self._seal = peer.server_name, Seal(told.key)
        return self._seal[1]

    async def _peer(self) -> Peer:
        found = await self._look()
        if found is None:
            raise MeshError(Reason.STORE_UNAVAILABLE, f"{NO_STORE[0].upper()}{NO_STORE[1:]}.")
        peer = self._mesh.dial(found.address, found.server_name)
        if peer.is_failing:
            self._found = None  # the next one looks again: it may be elsewhere by then
        return peer

    async def _look(self) -> instance_pb2.Instance | None:
        async with self._looking:
            if self._found is None:
                try:
                    told = await self._registry.unary(
                        LIST, registry_pb2.ListRequest(role="store"), timeout=SECONDS
                    )
                except MeshError:
                    raise MeshError(
                        Reason.STORE_UNAVAILABLE,
                        "The registry can't be asked where the store is: try again shortly.",
                        retry_after=RETRY_AFTER,
                    ) from None
                self._found = min(
                    filter(_is_there, told.instances),
                    key=lambda one: one.register_time.ToNanoseconds(),
                    default=None,
                )
            return self._found

    def _judged(self, error: MeshError) -> MeshError:
        """An error as its caller gets it. A store that is not reached is looked for again."""
        if "transport" not in error.metadata:
            return error
        self._found = None
        return MeshError(
            Reason.STORE_UNAVAILABLE,
            "The store of this mesh does not answer: try again shortly; `nexus status` shows whether it runs.",
            retry_after=RETRY_AFTER,
        )


def _is_there(one: instance_pb2.Instance) -> bool:
    return one.connected and one.status.state == instance_pb2.STATE_ACTIVE


async def _steps(new: New, pieces: AsyncIterator[bytes]) -> AsyncIterator[pb.PutRequest]:
    start = pb.PutStart(
        tenant=new.tenant,
        purpose=new.purpose,
        filename=new.filename,
        mime_type=new.mime_type,
        size=new.size,
        zone=new.zone,
        idempotency_key=new.key,
    )
    if new.seconds:
        start.expire_time.CopyFrom(Timestamp(seconds=int(time.time() + new.seconds)))
    yield pb.PutRequest(start=start)
    size = 0
    async for piece in pieces:
        for at in range(0, len(piece), CHUNK):
            chunk = piece[at : at + CHUNK]
            size += len(chunk)
            yield pb.PutRequest(chunk=chunk)
    yield pb.PutRequest(end=pb.PutEnd(size=size))


async def _pieces(messages: AsyncIterator[pb.GetResponse], left: int) -> AsyncIterator[bytes]:
    async for message in messages:
        left -= len(message.chunk)
        yield message.chunk
    if left:
        raise MeshError(Reason.INTERNAL, "The store sent fewer bytes of the file than it said.")
