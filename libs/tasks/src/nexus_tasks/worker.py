"""Works tasks off: claims as many as it has slots, renews, and says how each ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nexus_mesh.core import MeshError, Reason, telemetry

from nexus_tasks.accepting import MAX_TEXT
from nexus_tasks.table import TaskTable
from nexus_tasks.types import Claim, NewTask

__all__ = ["Done", "Handler", "work"]

PATIENCE = 30.0
"""Seconds that one claim waits for tasks."""
PAUSE = 1.0
"""Seconds before the table is asked again that could not be used."""

log = telemetry.logger("tasks")


@dataclass(frozen=True, slots=True)
class Done:
    """What a task brought: kept and accepted in the transaction that completes it."""

    result: bytes | None = None
    then: Sequence[NewTask] = ()


Handler = Callable[[Claim], Awaitable[Done]]
"""Does the work. MeshError is a failure, whose reason the table of retries may have; its message is kept. Any other
exception is one with reason INTERNAL, and the log has it. When it is cancelled, the task is no longer its own."""


async def work(
    table: TaskTable,
    name: str,
    kinds: Sequence[str],
    handler: Handler,
    *,
    slots: int = 4,
    lease: float = 15.0,
    share: int = 0,
) -> None:
    """Works until it is cancelled: then handlers are cancelled and their tasks given back, uncounted.

    `share`: tasks of one tenant at a time, at most; 0 = as many as there are slots. With one, a free slot goes to the
    tenant that has the fewest.

    A handler whose task was cancelled, or taken away, is cancelled within a third of `lease` seconds. While the table
    can't be used, what is done is kept and said again until the lease is over.
    """
    await _Worker(table, name, kinds, handler, slots, lease, share).run()


class _Worker:
    def __init__(
        self,
        table: TaskTable,
        name: str,
        kinds: Sequence[str],
        handler: Handler,
        slots: int,
        lease: float,
        share: int,
    ) -> None:
        self._table = table
        self._name = name
        self._kinds = kinds
        self._handler = handler
        self._slots = slots
        self._lease = lease
        self._share = share
        self._running: dict[asyncio.Task[None], Claim] = {}

    async def run(self) -> None:
        renewing = asyncio.create_task(self._renew())
        try:
            while not renewing.done():  # without renewals each task would be done twice
                if len(self._running) == self._slots:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for claim in await self._claim(self._slots - len(self._running)):
                    task = asyncio.create_task(self._do(claim))
                    self._running[task] = claim
                    task.add_done_callback(self._running.pop)
            renewing.result()
        finally:
            renewing.cancel()
            running = dict(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(renewing, *running, return_exceptions=True)
            await self._release(list(running.values()))

    async def _claim(self, limit: int) -> Sequence[Claim]:
        if not limit:
            return ()
        try:
            if self._share:
                return await self._claim_fairly()
            return await self._table.claim(
                self._name, self._kinds, limit=limit, lease=self._lease, wait=PATIENCE
            )
        except MeshError as error:
            log.warning("no tasks can be claimed", reason=error.reason)
            await asyncio.sleep(PAUSE)
            return ()

    async def _claim_fairly(self) -> Sequence[Claim]:
        """One at a time, of the tenant that has the fewest of those that wait."""
        having = Counter(claim.tenant for claim in self._running.values())
        for most in sorted({*having.values(), self._share}):
            passing = [tenant for tenant, number in having.items() if number >= most]
            if claims := await self._claim_past(passing, PATIENCE if most == self._share else 0.0):
                return claims
        return ()

    async def _claim_past(self, passing: Sequence[str], wait: float) -> Sequence[Claim]:
        """None too once a task has ended, for then others are to be passed over."""
        claiming = asyncio.create_task(
            self._table.claim(self._name, self._kinds, limit=1, lease=self._lease, wait=wait, passing=passing)
        )
        try:
            await asyncio.wait({claiming, *self._running}, return_when=asyncio.FIRST_COMPLETED)
            return await claiming if claiming.done() else ()
        finally:
            claiming.cancel()  # what it still gets it gives back
            await asyncio.wait({claiming})

    async def _release(self, claims: Sequence[Claim]) -> None:
        try:
            await self._table.release(claims)
        except MeshError as error:
            log.warning("tasks can't be given back: their leases will run out", reason=error.reason)

    async def _do(self, claim: Claim) -> None:
        try:
            done = await self._handler(claim)
        except MeshError as error:
            message, after = error.message[:MAX_TEXT], error.retry_after or 0.0
            await self._say(partial(self._table.fail, claim, error.reason, message, retry_after=after))
        except Exception as error:
            log.exception("a task's handler failed", task=claim.id, kind=claim.kind, exc_info=error)
            await self._say(
                partial(self._table.fail, claim, Reason.INTERNAL, "Its worker failed; the log says why.")
            )
        else:
            await self._say(partial(self._table.complete, claim, done.result, done.then))

    async def _say(self, outcome: Callable[[], Awaitable[object]]) -> None:
        """Until the table took it, or it is too late: each says it at most once."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._lease
        while True:
            try:
                await outcome()
            except MeshError as error:
                if error.reason not in (Reason.STORE_UNAVAILABLE, Reason.OVERLOAD) or loop.time() > until:
                    log.warning("a task's outcome was not taken", reason=error.reason)
                    return
                await asyncio.sleep(PAUSE)
            else:
                return

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            running = dict(self._running)
            try:
                held = await self._table.renew(list(running.values()), lease=self._lease)
            except MeshError as error:
                log.warning("leases can't be renewed", reason=error.reason)
                continue
            kept = {(one.id, one.epoch) for one in held}
            for task, claim in running.items():
                if (claim.id, claim.epoch) not in kept:
                    task.cancel()
