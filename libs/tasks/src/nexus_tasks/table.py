"""The durable work table: what a service opens, fills and works off."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from nexus_database import Commits, Session, open_database
from nexus_mesh.core import MeshError, Reason

from nexus_tasks import accepting, claiming, outcomes, reading
from nexus_tasks.bell import Bell, heard
from nexus_tasks.claiming import Sweeper
from nexus_tasks.retries import RETRIES, Retries
from nexus_tasks.schema import SCHEMA
from nexus_tasks.types import FINAL, Changes, Claim, Counts, NewTask, State, Task

__all__ = ["TaskTable", "open_tasks"]

MOST = 1000
"""Tasks of one claim, page or enqueue."""
LONGEST_LEASE = 86_400.0
POLL = 1.0
"""Seconds between looks for what other processes made."""


@asynccontextmanager
async def open_tasks(
    where: Path | str,
    *,
    retries: Retries = RETRIES,
    clock: Callable[[], float] = time.time,
    jitter: Callable[[], float] = random.random,
) -> AsyncGenerator[TaskTable, None]:
    """The table in an SQLite file (a path; made, mode 0600, when it is missing) or in the PostgreSQL that a
    `postgresql://` URL names, brought to this version's form.

    Several processes may have it open: those of one machine with SQLite, of any with PostgreSQL (whose clocks may
    differ by less than a lease). `clock` gives seconds since 1970. Raises STORE_UNAVAILABLE.
    """
    bell = Bell()
    async with open_database(where, SCHEMA, clock=clock, committed=bell.ring) as commits:
        yield TaskTable(commits, Sweeper(retries, jitter), bell)


class TaskTable:
    """Accepting, working off, watching and erasing tasks.

    What a call changed is on the disk when it returns. Calls that wait at the same time share a transaction, so many
    small ones cost as little as one large one. Each may raise MeshError: INVALID_REQUEST for values that can't be
    kept, OVERLOAD when too many wait, STORE_UNAVAILABLE when the database fails or its disk is full: then nothing of
    the call was kept, or its message says that this is not known.
    """

    def __init__(self, commits: Commits, sweeper: Sweeper, bell: Bell) -> None:
        self._commits = commits
        self._sweeper = sweeper
        self._bell = bell

    # Accepting.

    async def enqueue(self, task: NewTask) -> int:
        """The task's id; that of the one that is there, if its idempotency key is known for the same group and
        payload. Raises CONFLICT for a key that stands for other work, REQUEST_TOO_LARGE for a payload over 1 MiB.
        """
        return (await self.enqueue_all([task]))[0]

    async def enqueue_all(self, tasks: Sequence[NewTask]) -> list[int]:
        """All or none, at most 1,000; otherwise as `enqueue`. The ids are in the order of the tasks."""
        _check_limit(len(tasks), least=0)
        accepting.check(tasks)
        return await self._commits.write(lambda session: accepting.prepare(session, tasks).insert(session))

    # Working.

    async def claim(
        self,
        worker: str,
        kinds: Sequence[str],
        *,
        limit: int = 16,
        lease: float = 15.0,
        wait: float = 0.0,
        passing: Collection[str] = (),
    ) -> list[Claim]:
        """Up to `limit` (1 to 1,000) ready tasks of these kinds, the most urgent first, for `lease` seconds; none of
        the tenants in `passing` (a few: those that have their share).

        With none there, waits up to `wait` seconds for the first: one that this process makes is seen at once, others'
        and those whose time comes within a second. `worker` is 1 to 255 characters, for people. What a
        caller gets that is cancelled meanwhile is given back.
        """
        accepting.check_text("A worker's name", worker, 1, 255)
        _check_limit(limit)
        _check_lease(lease)
        named = list(dict.fromkeys(kinds))

        def work(session: Session) -> list[Claim]:
            self._sweeper.sweep(session)
            return claiming.claim(session, worker, named, limit, lease, passing)

        until = time.monotonic() + wait
        while True:
            ring = self._bell.next()
            claims = await self._commits.write(work, undo=claiming.release)
            left = until - time.monotonic()
            if claims or left <= 0:
                return claims
            await heard(ring, min(left, POLL))

    async def renew(self, claims: Sequence[Claim], *, lease: float = 15.0) -> list[Claim]:
        """Those that are still held, with a lease from now on. A claim that is missing was taken away (its lease ran
        out, or its task was cancelled or erased): its work should stop. To be called every third of a lease.
        """
        _check_lease(lease)
        return await self._commits.write(lambda session: claiming.renew(session, claims, lease))

    async def progress(self, claim: Claim, done: float, message: str = "") -> None:
        """Tells watchers how far it is, 0 to 1. Raises CONFLICT when the claim was taken away."""
        if not 0.0 <= done <= 1.0:
            raise MeshError(Reason.INVALID_REQUEST, "Progress is a number from 0 to 1.")
        accepting.check_text("A message", message)
        await self._commits.write(lambda session: outcomes.progress(session, claim, done, message))

    async def complete(
        self, claim: Claim, result: bytes | None = None, then: Sequence[NewTask] = ()
    ) -> list[int] | None:
        """SUCCEEDED, with its result (at most 1 MiB) and what follows from it, in one transaction: the ids of `then`.

        A claim completes once: None when it did so before, which changes nothing, so after a STORE_UNAVAILABLE it may
        be said again. Raises CONFLICT when the claim was taken away, or for a key as `enqueue`; nothing is kept then.
        """
        if result is not None and len(result) > accepting.MAX_PAYLOAD:
            raise MeshError(
                Reason.REQUEST_TOO_LARGE,
                f"A result has at most {accepting.MAX_PAYLOAD} bytes, this one {len(result)}: store it elsewhere "
                "and give its name.",
            )
        _check_limit(len(then), least=0)
        accepting.check(then)
        return await self._commits.write(lambda session: outcomes.complete(session, claim, result, then))

    async def fail(self, claim: Claim, reason: str, message: str = "", *, retry_after: float = 0.0) -> State:
        """What it is now: WAITING or READY for another attempt, if the retry table has the reason and attempts are
        left, otherwise FAILED. `retry_after` seconds are waited if that is longer. `message` is for people and must
        hold nothing of the payload. Raises CONFLICT when the claim was taken away.
        """
        accepting.check_text("A reason", reason, 1, 63)
        accepting.check_text("A message", message)
        _check_wait(retry_after)
        return await self._commits.write(
            lambda session: outcomes.fail(session, self._sweeper, claim, reason, message, retry_after)
        )

    async def release(self, claims: Sequence[Claim]) -> int:
        """Gives back what was not begun, as a worker does that ends: no attempt is counted. How many it still held."""
        return await self._commits.write(lambda session: claiming.release(session, claims))

    async def sweep(self) -> None:
        """What time does to tasks (due, lease run out, deadline passed). Each claim does it too."""
        await self._commits.write(self._sweeper.sweep)

    # Owning.

    async def cancel(self, tenant: str, *, ids: Sequence[int] | None = None, group: str | None = None) -> int:
        """CANCELLED at once, running ones too: their workers find out with their next renewal, progress or outcome,
        none of which counts any more. How many were open. Takes ids or a group.
        """
        if (ids is None) == (group is None):
            raise MeshError(Reason.INVALID_REQUEST, "Cancel takes either ids or a group.")
        return await self._commits.write(lambda session: outcomes.cancel(session, tenant, ids, group))

    async def redrive(self, tenant: str, task: int, *, deadline: float | None = None) -> None:
        """A failed task from its first attempt on, with this deadline. Raises CONFLICT for one that did not fail."""
        await self._commits.write(lambda session: outcomes.redrive(session, tenant, task, deadline))

    async def delete(self, tenant: str, task: int) -> None:
        """One task, with payload and result, whatever its state: a worker that has it finds out as of a cancelled one.
        Raises OBJECT_NOT_FOUND.
        """
        await self._commits.write(lambda session: reading.delete(session, tenant, task))

    async def erase(self, tenant: str) -> int:
        """Every task of the tenant, with payload and result: how many. The space they took is overwritten (SQLite),
        or freed by the next vacuum (PostgreSQL).
        """
        return await self._until_done(lambda session: reading.erase(session, tenant, MOST))

    async def prune(self, before: float, *, tenant: str | None = None, kind: str | None = None) -> int:
        """Deletes what was final before that time: how many. Their idempotency keys are free again."""
        return await self._until_done(lambda session: reading.prune(session, before, tenant, kind, MOST))

    async def _until_done(self, work: Callable[[Session], int]) -> int:
        total = 0
        while gone := await self._commits.write(work):
            total += gone
        return total

    # Looking.

    async def get(self, tenant: str, task: int) -> Task:
        """Raises OBJECT_NOT_FOUND, also for another tenant's."""
        return await self._commits.read(partial(reading.get, tenant=tenant, number=task))

    async def find(self, tenant: str, kind: str, key: str) -> Task:
        """By its idempotency key. Raises OBJECT_NOT_FOUND."""
        return await self._commits.read(partial(reading.find, tenant=tenant, kind=kind, key=key))

    async def payload(self, tenant: str, task: int) -> bytes:
        """Raises OBJECT_NOT_FOUND."""
        return await self._commits.read(partial(reading.payload, tenant=tenant, number=task))

    async def result(self, tenant: str, task: int) -> bytes | None:
        """None while there is none. Raises OBJECT_NOT_FOUND."""
        return await self._commits.read(partial(reading.result, tenant=tenant, number=task))

    async def listed(
        self,
        tenant: str,
        *,
        group: str | None = None,
        state: State | None = None,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[Task]:
        """A page by id, of those behind `after` (0 = from the beginning)."""
        _check_limit(limit)
        read = partial(reading.listed, tenant=tenant, group=group, state=state, after=after, limit=limit)
        return await self._commits.read(partial(read, newest_first=newest_first))

    async def counts(
        self, *, tenant: str | None = None, group: str | None = None, kind: str | None = None
    ) -> Counts:
        """How many are in each state, zeros too; of all tenants if none is named."""
        return await self._commits.read(partial(reading.counts, tenant=tenant, group=group, kind=kind))

    async def changes(
        self,
        cursor: str = "",
        *,
        tenant: str | None = None,
        group: str | None = None,
        kind: str | None = None,
        limit: int = 100,
    ) -> Changes:
        """Tasks that changed after the cursor; an empty one begins with all that are there. Renewals are no changes,
        and who was erased or pruned is missing without a word. None is skipped, whichever process changed it:
        PostgreSQL tells one when every older transaction of its server has ended.
        """
        _check_limit(limit)
        return await self._commits.read(
            partial(reading.changes, cursor=cursor, tenant=tenant, group=group, kind=kind, limit=limit)
        )

    async def watch(self, tenant: str, task: int, *, poll: float = 0.5) -> AsyncIterator[Task]:
        """The task now and after changes, until it is final, which comes last. What this process changes is seen at
        once, others' work within `poll` seconds; changes in between are one. Raises OBJECT_NOT_FOUND.
        """
        seen = -1
        while True:
            ring = self._bell.next()
            now = await self.get(tenant, task)
            if now.revision != seen:
                seen = now.revision
                yield now
                if now.state in FINAL:
                    return
            await heard(ring, poll)


def _check_limit(limit: int, least: int = 1) -> None:
    if not least <= limit <= MOST:
        raise MeshError(Reason.INVALID_REQUEST, f"One call takes {least} to {MOST} tasks, not {limit}.")


def _check_lease(lease: float) -> None:
    if not 0 < lease <= LONGEST_LEASE:
        raise MeshError(Reason.INVALID_REQUEST, f"A lease is up to {LONGEST_LEASE:.0f} seconds.")


def _check_wait(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_LEASE:
        raise MeshError(Reason.INVALID_REQUEST, f"retry_after is 0 to {LONGEST_LEASE:.0f} seconds.")
