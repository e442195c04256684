"""The files of tenants: putting, getting, deleting, and what goes by itself."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from weakref import WeakValueDictionary

from nexus_database import Commits
from nexus_mesh.core import MeshError, Reason, telemetry

from nexus_store import rows
from nexus_store.contents import Address, ObjectStore, Part, Reader
from nexus_store.failures import damaged, told
from nexus_store.incoming import Incoming, Room, check_size
from nexus_store.outgoing import Outgoing
from nexus_store.types import Limits, NewObject, Object, Usage

__all__ = ["Store"]

COMING = 256
"""Files on their way in at once; more are refused."""

log = telemetry.logger("store")


class Store:
    """Rows say what there is; a content is there before its row, and goes after the last one. So what was acknowledged
    is whole whenever the process is killed, and what a kill leaves over is removed at the next start.
    """

    def __init__(
        self, commits: Commits, contents: ObjectStore, limits: Limits, clock: Callable[[], float] = time.time
    ) -> None:
        self._commits = commits
        self._contents = contents
        self.limits = limits
        self._clock = clock
        self._rooms: dict[str, Room] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._erasures: dict[str, int] = {}
        self._lingering: set[Address] = set()

    async def open(self) -> None:
        """Removes what a killed process left over. Raises STORE_UNAVAILABLE."""
        known = await self._commits.read(rows.addresses)
        with told():
            stray = await asyncio.to_thread(self._contents.keep_only, known)
        if stray:
            log.info("removed what a killed process left over", contents=stray)

    # In.

    @asynccontextmanager
    async def receive(self, new: NewObject) -> AsyncIterator[Incoming]:
        """Raises STORAGE_QUOTA, REQUEST_TOO_LARGE, OVERLOAD, STORE_UNAVAILABLE."""
        size = new.size or 0
        check_size(size, self.limits)
        used = await self.usage(new.tenant)
        if sum(room.coming for room in self._rooms.values()) >= COMING:
            raise MeshError(
                Reason.OVERLOAD, f"{COMING} files are on their way in: try later.", retry_after=1.0
            )
        room = self._rooms.setdefault(new.tenant, Room(used, self.limits))
        try:
            room.enter(used)
        except MeshError:
            self._forget(new.tenant, room)
            raise
        try:
            room.check(size)
            with told():
                part = await self._part()
        except BaseException:
            room.leave(0)
            self._forget(new.tenant, room)
            raise
        incoming = Incoming(new, part, room, self.limits, partial(self._keep, self._erased(new.tenant)))
        try:
            yield incoming
        finally:
            await incoming.close()
            self._forget(new.tenant, room)

    async def _part(self) -> Part:
        making = asyncio.ensure_future(asyncio.to_thread(self._contents.part))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_dropped)
            raise

    def _forget(self, tenant: str, room: Room) -> None:
        if not room.coming:
            self._rooms.pop(tenant, None)

    async def _keep(self, erased: int, part: Part, new: NewObject, size: int, digest: bytes) -> Object:
        async with self._lock(new.tenant):
            if self._erased(new.tenant) != erased:
                raise MeshError(
                    Reason.CONFLICT, "The tenant was erased while this file came: nothing of it was kept."
                )
            address = Address(new.tenant, digest)
            one = self._made(new, size, digest)
            try:
                with told():
                    await asyncio.to_thread(part.keep, address)
                insert = partial(rows.insert, one=one, limits=self.limits, key=new.key)
                return await self._commits.write(insert)
            except MeshError:
                await self._discard([address])
                raise

    def _made(self, new: NewObject, size: int, digest: bytes) -> Object:
        now, retention = self._clock(), self.limits.retention
        ends = [
            time for time in (new.expire_time, now + retention if retention else None) if time is not None
        ]
        return Object(
            id=secrets.token_hex(16),
            tenant=new.tenant,
            purpose=new.purpose,
            filename=new.filename,
            mime_type=new.mime_type,
            size=size,
            sha256=digest,
            create_time=now,
            expire_time=min(ends, default=None),
        )

    # Out.

    async def get(self, tenant: str, object_id: str, offset: int = 0, length: int | None = None) -> Outgoing:
        """Raises OBJECT_NOT_FOUND, INVALID_REQUEST for a range outside the file, INTERNAL when its bytes are lost."""
        erased = self._erased(tenant)
        one = await self.describe(tenant, object_id)
        if offset > one.size:
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"offset is beyond the file, which has {one.size} bytes.",
                metadata={"param": "offset"},
            )
        left = one.size - offset
        try:
            with told():
                reader = await asyncio.to_thread(self._open, Address(tenant, one.sha256), offset)
        except LookupError:
            await self.describe(tenant, object_id)  # unless it was deleted at this moment
            raise damaged() from None

        def check() -> None:
            if self._erased(tenant) != erased:
                raise MeshError(Reason.OBJECT_NOT_FOUND, "The tenant was erased while this file was read.")

        return Outgoing(one, left if length is None else min(length, left), reader, check)

    def _open(self, address: Address, offset: int) -> Reader:
        try:
            return self._contents.open(address, offset)
        except FileNotFoundError:
            raise LookupError from None

    async def describe(self, tenant: str, object_id: str) -> Object:
        """Raises OBJECT_NOT_FOUND, also for another tenant's."""
        return await self._commits.read(
            partial(rows.find, tenant=tenant, object_id=object_id, now=self._clock())
        )

    async def page(
        self, tenant: str, purpose: str = "", before: int = rows.LAST, limit: int = 100
    ) -> list[tuple[int, Object]]:
        """Files with their numbers, the newest first, of those with a number below `before`."""
        now = self._clock()
        return await self._commits.read(
            partial(rows.page, tenant=tenant, purpose=purpose, before=before, limit=limit, now=now)
        )

    async def usage(self, tenant: str) -> Usage:
        return await self._commits.read(partial(rows.usage, tenant=tenant))

    # Away.

    async def delete(self, tenant: str, object_id: str) -> None:
        """Raises OBJECT_NOT_FOUND."""
        await asyncio.shield(self._delete(tenant, object_id))

    async def _delete(self, tenant: str, object_id: str) -> None:
        async with self._lock(tenant):
            await self._discard(
                [await self._commits.write(partial(rows.delete, tenant=tenant, object_id=object_id))]
            )

    async def erase(self, tenant: str) -> int:
        """How many files. Raises STORE_UNAVAILABLE, after which it may be called again."""
        return await asyncio.shield(self._erase(tenant))

    async def _erase(self, tenant: str) -> int:
        async with self._lock(tenant):
            self._erasures[tenant] = self._erased(tenant) + 1
            total = 0
            while gone := await self._commits.write(partial(rows.erase, tenant=tenant)):
                total += gone
            with told():
                await asyncio.to_thread(self._contents.remove_tenant, tenant)
            return total

    async def sweep(self) -> None:
        """Removes what has expired, and contents that could not be removed before. Raises STORE_UNAVAILABLE."""
        for tenant in await self._commits.read(partial(rows.expired, now=self._clock())):
            while True:
                async with self._lock(tenant):
                    gone = await self._commits.write(partial(rows.sweep, tenant=tenant))
                    await self._discard(gone)
                if not gone:
                    break
        for address in tuple(self._lingering):
            async with self._lock(address.tenant):
                await self._discard([address])

    async def sweeping(self, interval: float) -> None:
        """Sweeps for ever."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.sweep()
            except MeshError as error:
                log.warning("what has expired can't be removed", reason=error.reason)

    async def _discard(self, addresses: Iterable[Address]) -> None:
        """Removes those contents that no file stands for. What can't be removed now is by a later sweep. Its caller has
        the tenant's lock.
        """
        for address in addresses:
            try:
                if not await self._commits.read(partial(rows.needed, address=address)):
                    with told():
                        await asyncio.to_thread(self._contents.remove, address)
            except MeshError:
                self._lingering.add(address)
            else:
                self._lingering.discard(address)

    def _lock(self, tenant: str) -> asyncio.Lock:
        """So that no content goes between its coming and its row."""
        return self._locks.setdefault(tenant, asyncio.Lock())

    def _erased(self, tenant: str) -> int:
        return self._erasures.get(tenant, 0)


def _dropped(making: asyncio.Future[Part]) -> None:
    """Whoever wanted it has left."""
    if not making.cancelled() and making.exception() is None:
        making.result().drop()
