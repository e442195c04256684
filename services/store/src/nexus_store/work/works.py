"""The work of tenants: taking it in, telling of it, stopping it, taking it away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from nexus.store.v1 import work_pb2 as pb
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_tasks import FINAL, NewTask, Retry, State, Task, TaskTable
from nexus_tasks import RETRIES as USUAL

from nexus_store.store import Store
from nexus_store.work.convert import checked, group_of, kept, seconds, work_of

__all__ = ["KIND", "RETRIES", "Live", "WorkLimits", "Works"]

KIND = "work"
PAST = Retry(limit=100_000, delays=(1.0, 2.0, 5.0, 15.0, 30.0))
GONE = Retry(limit=4, delays=(1.0, 5.0, 20.0))
RETRIES = {
    # Work that takes longer than it may does so again: only silence is tried once more.
    **{reason: retry for reason, retry in USUAL.items() if reason != Reason.TIMEOUT},
    # What only waits for a place fails by its deadline, and not by how often it has asked.
    **dict.fromkeys((Reason.OVERLOAD, Reason.RATE_LIMIT, Reason.NOT_READY, Reason.DRAINING), PAST),
    **dict.fromkeys((Reason.MODEL_NOT_READY, Reason.AUTH_UNAVAILABLE, Reason.STORE_UNAVAILABLE), PAST),
    **dict.fromkeys((Reason.BACKEND_DOWN, Reason.BACKEND_LOST), GONE),
}
"""Which failures of work are tried again. What may kill its engine must not do so for ever."""
POLL = 0.5
RETRY_AFTER = 30.0

log = telemetry.logger("work")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLimits:
    """`open`: of a tenant, not over yet, at most. Times in seconds: what is over is kept for `retention`."""

    open: int
    deadline: float
    retention: float


class Live(Protocol):
    """Who runs it, in this process."""

    def percent(self, task: int) -> int:
        """0 where nothing is known."""
        ...

    def next(self) -> asyncio.Event:
        """Set once any of it has changed."""
        ...

    async def stop(self, task: int) -> None:
        """Returns when nothing runs for it any more, or that takes too long."""
        ...


class Works:
    """Calls raise MeshError: OBJECT_NOT_FOUND also for another tenant's."""

    def __init__(
        self,
        table: TaskTable,
        store: Store,
        live: Live,
        limits: WorkLimits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._store = store
        self._live = live
        self._limits = limits
        self._clock = clock

    async def submit(self, request: pb.SubmitWorkRequest) -> pb.Work:
        """Raises INVALID_REQUEST, CONFLICT, RATE_LIMIT, REQUEST_TOO_LARGE."""
        checked(request)
        latest = self._clock() + self._limits.deadline
        deadline = latest
        if request.HasField("deadline_time"):
            deadline = min(latest, seconds(request.deadline_time))
        for file in request.files:
            await self._store.describe(request.tenant, file.object_id)
        new = NewTask(
            tenant=request.tenant,
            kind=KIND,
            payload=kept(request),
            key=request.id,
            group=group_of(request.operation),
            deadline=deadline,
        )
        try:
            await self._task(request.tenant, request.id)
        except MeshError:
            await self._check_room(request.tenant)
        await self._table.enqueue(new)
        return await self.get(request.tenant, request.id)

    async def _check_room(self, tenant: str) -> None:
        counts = await self._table.counts(tenant=tenant, kind=KIND)
        if sum(number for state, number in counts.items() if state not in FINAL) >= self._limits.open:
            raise MeshError(
                Reason.RATE_LIMIT,
                f"This tenant has {self._limits.open} pieces of long work that are not over (work_open of [store]): "
                "send more when some are, or delete some.",
                metadata={"limit": str(self._limits.open)},
                retry_after=RETRY_AFTER,
            )

    async def get(self, tenant: str, work_id: str) -> pb.Work:
        return await self._told(await self._task(tenant, work_id))

    async def listed(
        self, tenant: str, operation: int, after: str, limit: int, *, newest_first: bool
    ) -> list[pb.Work]:
        """A page of one kind of work, behind the one with the id `after`."""
        begin = (await self._task(tenant, after)).id if after else 0
        tasks = await self._table.listed(
            tenant, group=group_of(operation), after=begin, limit=limit, newest_first=newest_first
        )
        found: list[pb.Work] = []
        for task in tasks:
            with suppress(MeshError):  # deleted meanwhile
                found.append(await self._told(task))
        return found

    async def watch(self, tenant: str, work_id: str) -> AsyncIterator[pb.Work]:
        """It now and after changes, until it is over, which comes last."""
        seen: pb.Work | None = None
        while True:
            changed = self._live.next()
            work = await self.get(tenant, work_id)
            if work != seen:
                seen = work
                yield work
                if work.HasField("finish_time"):
                    return
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await changed.wait()

    async def cancel(self, tenant: str, work_id: str) -> pb.Work:
        """It as it is then: cancelled, unless it was over."""
        await self._stop(await self._task(tenant, work_id))
        return await self.get(tenant, work_id)

    async def delete(self, tenant: str, work_id: str) -> None:
        """With what came of it, and the files it was to read."""
        task = await self._task(tenant, work_id)
        await self._stop(task)
        work = await self.get(tenant, work_id)
        objects = [
            *(file.object_id for file in work.files),
            *(made.object_id for made in work.result.outputs),
        ]
        for object_id in objects:
            await _unless_gone(self._store.delete(tenant, object_id))
        await _unless_gone(self._table.delete(tenant, task.id))

    async def _stop(self, task: Task) -> None:
        if task.state not in FINAL:
            await self._table.cancel(task.tenant, ids=[task.id])
            await self._live.stop(task.id)

    async def erase(self, tenant: str) -> None:
        """All of the tenant's, open work too. Its files are the store's to erase."""
        running = await self._table.listed(tenant, state=State.RUNNING, limit=1000)
        await self._table.erase(tenant)
        for task in running:
            await self._live.stop(task.id)

    async def sweeping(self, interval: float) -> None:
        """Takes away what was over long enough, for ever."""
        while True:
            try:
                await self._table.prune(self._clock() - self._limits.retention, kind=KIND)
            except MeshError as error:
                log.warning("what is over can't be taken away", reason=error.reason)
            await asyncio.sleep(interval)

    async def _task(self, tenant: str, work_id: str) -> Task:
        try:
            return await self._table.find(tenant, KIND, work_id)
        except MeshError as error:
            if error.reason is not Reason.OBJECT_NOT_FOUND:
                raise
            raise MeshError(
                Reason.OBJECT_NOT_FOUND, "There is no such work: it was deleted, or never was there."
            ) from None

    async def _told(self, task: Task) -> pb.Work:
        payload = await self._table.payload(task.tenant, task.id)
        result = await self._table.result(task.tenant, task.id) if task.state is State.SUCCEEDED else None
        return work_of(task, payload, result, self._live.percent(task.id), self._limits.retention)


async def _unless_gone(deleting: Awaitable[None]) -> None:
    try:
        await deleting
    except MeshError as error:
        if error.reason is not Reason.OBJECT_NOT_FOUND:
            raise
