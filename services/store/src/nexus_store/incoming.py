"""A file on its way in: bounded while it comes, kept whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nexus_mesh.core import MeshError, Reason

from nexus_store.contents import Part
from nexus_store.failures import told
from nexus_store.rows import over_quota
from nexus_store.types import Limits, NewObject, Object, Usage

__all__ = ["Incoming", "Room"]

T = TypeVar("T")

BLOCK = 1 << 20
"""Bytes that are gathered for one write."""

Keep = Callable[[Part, NewObject, int, bytes], Awaitable[Object]]
"""Makes a part an object of that size and SHA-256."""


class Room:
    """What a tenant's files on their way in may still take. The rows count exactly; this bounds the disk before."""

    def __init__(self, used: Usage, limits: Limits) -> None:
        self._used = used
        self._limits = limits
        self.coming = 0
        """Files."""
        self.bytes = 0

    def enter(self, used: Usage) -> None:
        """One more file, with what is kept by now. Raises STORAGE_QUOTA."""
        self._used = used
        if self._limits.objects and used.objects + self.coming >= self._limits.objects:
            raise over_quota(Usage(used.objects + self.coming, used.bytes), 0, self._limits)
        self.coming += 1

    def check(self, size: int) -> None:
        """Raises STORAGE_QUOTA when so many bytes more are too many."""
        if self._limits.bytes and self._used.bytes + self.bytes + size > self._limits.bytes:
            raise over_quota(Usage(0, self._used.bytes + self.bytes), size, self._limits)

    def leave(self, size: int, *, kept: bool = False) -> None:
        self.coming -= 1
        self.bytes -= size
        if kept:
            self._used = Usage(self._used.objects + 1, self._used.bytes + size)


class Incoming:
    """Used by one task. Calls raise MeshError; after one that did, only `close`."""

    def __init__(self, new: NewObject, part: Part, room: Room, limits: Limits, keep: Keep) -> None:
        self._new = new
        self._part = part
        self._room = room
        self._limits = limits
        self._keep = keep
        self._hash = hashlib.sha256()
        self._block = bytearray()
        self._size = 0
        self._running: asyncio.Task[object] | None = None
        self._left = False

    async def write(self, data: bytes) -> None:
        """Raises REQUEST_TOO_LARGE, STORAGE_QUOTA, STORE_UNAVAILABLE."""
        check_size(self._size + len(data), self._limits)
        self._room.check(len(data))
        self._room.bytes += len(data)
        self._size += len(data)
        self._block += data
        if len(self._block) >= BLOCK:
            await self._uncut(self._flush())

    async def finish(self, size: int, sha256: bytes) -> Object:
        """Keeps it. An empty `sha256` is not compared. Raises INVALID_REQUEST for other bytes than were said."""
        if size != self._size:
            raise _lost("size", f"says {size} bytes, and {self._size} came")
        await self._uncut(self._flush())
        digest = self._hash.digest()
        if sha256 and sha256 != digest:
            raise _lost("sha256", "is not that of the bytes that came")
        one = await self._uncut(self._kept(digest))
        self._leave(kept=True)
        return one

    async def close(self) -> None:
        """Forgets what was not kept, once the disk has let go of it. Whoever is cut off once more does not stop it."""
        await self._uncut(self._closed(self._running))

    async def _closed(self, running: asyncio.Task[object] | None) -> None:
        if running is not None:
            await asyncio.gather(running, return_exceptions=True)  # its caller has heard, or has left
        self._leave()
        await asyncio.to_thread(self._part.drop)

    def _leave(self, *, kept: bool = False) -> None:
        """At once, so that nobody counts it twice."""
        if not self._left:
            self._room.leave(self._size, kept=kept)
            self._left = True

    async def _kept(self, digest: bytes) -> Object:
        return await self._keep(self._part, self._new, self._size, digest)

    async def _flush(self) -> None:
        block, self._block = self._block, bytearray()
        if block:
            with told():
                await asyncio.to_thread(self._write, block)

    def _write(self, block: bytearray) -> None:
        self._hash.update(block)
        self._part.write(block)

    async def _uncut(self, work: Awaitable[T]) -> T:
        """A caller that leaves does not cut it: a thread may be writing."""
        task = asyncio.ensure_future(work)
        self._running = task
        return await asyncio.shield(task)


def check_size(size: int, limits: Limits) -> None:
    """Raises REQUEST_TOO_LARGE."""
    if size > limits.object_bytes:
        raise MeshError(
            Reason.REQUEST_TOO_LARGE,
            f"A file has at most {limits.object_bytes} bytes (max_object_bytes of [store]).",
            metadata={"limit": str(limits.object_bytes)},
        )


def _lost(param: str, why: str) -> MeshError:
    return MeshError(
        Reason.INVALID_REQUEST, f"{param} {why}: send the file again.", metadata={"param": param}
    )
