"""Working tasks off: results, failures, cancellation, ends, a table that is away for a moment."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from nexus_mesh.core import MeshError, Reason
from nexus_tasks import Claim, Done, Handler, State, Task, TaskTable, open_tasks, work
from support.task_tables import KIND, TENANT, new
from support.waiting import eventually


@asynccontextmanager
async def working(
    table: TaskTable, handler: Handler, slots: int = 4, lease: float = 15.0
) -> AsyncIterator[None]:
    worker = asyncio.create_task(work(table, "w", [KIND], handler, slots=slots, lease=lease))
    try:
        yield
    finally:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker


async def ended(table: TaskTable, number: int) -> Task:
    last = None
    async for task in table.watch(TENANT, number):
        last = task
    assert last is not None
    return last


async def echo(claim: Claim) -> Done:
    return Done(claim.payload[::-1], [new(claim.payload, kind="next")])


async def test_it_works_off_more_than_it_has_slots(where: Path | str) -> None:
    async with open_tasks(where) as table, working(table, echo, slots=3):
        numbers = await table.enqueue_all([new(b"%d" % index) for index in range(50)])
        for index, number in enumerate(numbers):
            assert (await ended(table, number)).state == State.SUCCEEDED
            assert await table.result(TENANT, number) == (b"%d" % index)[::-1]
        assert (await table.counts(kind="next"))[State.READY] == 50


async def test_it_never_holds_more_than_its_slots(where: Path | str) -> None:
    running, most = 0, 0

    async def count(_: Claim) -> Done:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return Done()

    async with open_tasks(where) as table, working(table, count, slots=3):
        for number in await table.enqueue_all([new() for _ in range(20)]):
            await ended(table, number)
    assert most == 3


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [
        (MeshError(Reason.INVALID_REQUEST, "No such size."), Reason.INVALID_REQUEST, 1),
        (MeshError(Reason.PRIVACY_ZONE, "x" * 5000), Reason.PRIVACY_ZONE, 1),
        (ValueError("a secret of the tenant"), Reason.INTERNAL, 1),
    ],
)
async def test_what_a_handler_raises_is_why_it_failed(
    where: Path | str, error: Exception, reason: Reason, attempts: int
) -> None:
    async def broken(_: Claim) -> Done:
        raise error

    async with open_tasks(where) as table, working(table, broken):
        task = await ended(table, await table.enqueue(new()))
    assert (task.state, task.reason, task.attempt) == (State.FAILED, reason, attempts)
    assert "secret" not in task.message


async def test_what_may_pass_is_tried_again(where: Path | str) -> None:
    async def second_time(claim: Claim) -> Done:
        if claim.attempt == 1:
            raise MeshError(Reason.BACKEND_LOST, "Its host went away.")
        return Done()

    async with open_tasks(where) as table, working(table, second_time):
        task = await ended(table, await table.enqueue(new()))
    assert (task.state, task.attempt) == (State.SUCCEEDED, 2)


async def test_a_cancelled_task_frees_its_handler(where: Path | str) -> None:
    began, freed = asyncio.Event(), asyncio.Event()

    async def endless(_: Claim) -> Done:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            freed.set()
        return Done()

    async with open_tasks(where) as table, working(table, endless, lease=0.3):
        number = await table.enqueue(new())
        await began.wait()
        assert await table.cancel(TENANT, ids=[number]) == 1
        await freed.wait()
        assert (await table.get(TENANT, number)).state == State.CANCELLED


async def test_a_long_task_keeps_its_lease(where: Path | str) -> None:
    async def long(_: Claim) -> Done:
        await asyncio.sleep(3)
        return Done()

    async with open_tasks(where) as table, working(table, long, lease=1.5):
        task = await ended(table, await table.enqueue(new()))
    assert (task.state, task.attempt) == (State.SUCCEEDED, 1)


async def test_a_worker_that_ends_gives_its_tasks_back(where: Path | str) -> None:
    began = asyncio.Event()

    async def endless(_: Claim) -> Done:
        began.set()
        await asyncio.Event().wait()
        return Done()

    async with open_tasks(where) as table:
        number = await table.enqueue(new())
        async with working(table, endless):
            await began.wait()
        task = await table.get(TENANT, number)
        assert (task.state, task.attempt) == (State.READY, 0)
        async with working(table, echo):
            assert (await ended(table, number)).state == State.SUCCEEDED


async def test_what_is_done_is_kept_while_the_table_is_held(tmp_path: Path) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(claim: Claim) -> Done:
        began.set()
        await go_on.wait()
        return Done(b"done once")

    async with open_tasks(tmp_path / "tasks.db") as table, working(table, slow, lease=60):
        number = await table.enqueue(new())
        await began.wait()
        with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            go_on.set()
            with pytest.raises(MeshError, match="held by another"):
                await table.enqueue(new(kind="other"))
            other.execute("ROLLBACK")
        task = await ended(table, number)
        assert (task.state, task.attempt) == (State.SUCCEEDED, 1)


async def test_a_free_slot_goes_to_who_has_the_fewest(where: Path | str) -> None:
    """However many one tenant has waiting, and however long: another's first one is next."""
    began: list[str] = []
    running, most, go_on = Counter[str](), Counter[str](), asyncio.Semaphore(0)

    async def count(claim: Claim) -> Done:
        began.append(claim.tenant)
        running[claim.tenant] += 1
        most[claim.tenant] = max(most[claim.tenant], running[claim.tenant])
        await go_on.acquire()
        running[claim.tenant] -= 1
        return Done()

    async with open_tasks(where) as table:
        numbers = await table.enqueue_all([new(tenant=TENANT) for _ in range(6)])
        worker = asyncio.create_task(work(table, "w", [KIND], count, slots=3, share=2))
        try:
            await eventually(lambda: len(began) == 2, what="a share of one tenant")
            await table.enqueue_all([new(tenant="late"), new(tenant="late")])
            await eventually(lambda: len(began) == 3, what="the other's")
            assert began == [TENANT, TENANT, "late"]
            for _ in range(8):
                go_on.release()
            for number in numbers:
                await ended(table, number)
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
    assert most[TENANT] == 2
    assert began.index("late", 3) < 5


async def test_one_is_found_by_its_key_listed_backwards_and_deleted(where: Path | str) -> None:
    async with open_tasks(where) as table:
        numbers = await table.enqueue_all([new(key=f"k{index}", group="g") for index in range(3)])
        assert (await table.find(TENANT, KIND, "k1")).id == numbers[1]
        for tenant, kind, key in (("other", KIND, "k1"), (TENANT, "other", "k1"), (TENANT, KIND, "k")):
            with pytest.raises(MeshError) as unknown:
                await table.find(tenant, kind, key)
            assert unknown.value.reason is Reason.OBJECT_NOT_FOUND
        first = await table.listed(TENANT, group="g", limit=2, newest_first=True)
        assert [task.id for task in first] == numbers[:0:-1]
        rest = await table.listed(TENANT, group="g", after=first[-1].id, newest_first=True)
        assert [task.id for task in rest] == numbers[:1]
        with pytest.raises(MeshError, match="no task"):
            await table.delete("other", numbers[0])
        await table.delete(TENANT, numbers[0])
        assert [task.id for task in await table.listed(TENANT)] == numbers[1:]
        assert await table.enqueue(new(key="k0", group="g")) > numbers[2]


async def test_a_deleted_task_frees_its_handler(where: Path | str) -> None:
    began, freed = asyncio.Event(), asyncio.Event()

    async def endless(_: Claim) -> Done:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            freed.set()
        return Done()

    async with open_tasks(where) as table, working(table, endless, lease=0.3):
        number = await table.enqueue(new())
        await began.wait()
        await table.delete(TENANT, number)
        await freed.wait()
