"""Several processes on one table, databases that go away, forms of other versions."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from nexus_mesh.core import MeshError, Reason
from nexus_tasks import State, TaskTable
from nexus_tasks.schema import SCHEMA
from support.task_tables import KIND, TENANT, Clock, new, opened


def run(where: Path | str, statement: str) -> None:
    if isinstance(where, Path):
        with closing(sqlite3.connect(where, isolation_level=None)) as connection:
            connection.execute(statement)
    else:
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement.encode())


async def test_two_share_the_work(where: Path | str, clock: Clock) -> None:
    async with opened(where, clock) as one, opened(where, clock) as two:
        numbers = await one.enqueue_all([new() for _ in range(400)])

        async def drain(table: TaskTable) -> list[int]:
            done: list[int] = []
            while claims := await table.claim("w", [KIND], limit=7):
                await asyncio.gather(*(table.complete(claim) for claim in claims))
                done += [claim.id for claim in claims]
            return done

        drained = await asyncio.gather(*(drain(table) for table in (one, two) for _ in range(2)))
        done = sorted(number for part in drained for number in part)
        assert done == numbers, "each once"
        assert (await two.counts())[State.SUCCEEDED] == 400


async def test_the_same_keys_at_the_same_time_are_one_task_each(where: Path | str, clock: Clock) -> None:
    async with opened(where, clock) as one, opened(where, clock) as two:
        for turn in range(10):
            work = [new(b"x", key=f"{turn}-{index}") for index in range(20)]
            calls = (one.enqueue_all(work), two.enqueue_all(work[::-1]), one.enqueue_all(work[5:15]))
            ids, reverse, some = await asyncio.gather(*calls)
            assert ids == reverse[::-1]
            assert ids[5:15] == some
        assert (await one.counts())[State.READY] == 200


async def test_no_change_is_skipped_whoever_makes_it(where: Path | str, clock: Clock) -> None:
    async with opened(where, clock) as one, opened(where, clock) as two:
        ended = False
        seen: dict[int, State] = {}

        async def watch() -> None:
            cursor, last = "", False
            while not last:
                last = ended
                changes = await one.changes(cursor, limit=50)
                cursor = changes.cursor
                seen.update({task.id: task.state for task in changes.tasks})
                last = last and not changes.tasks
                await asyncio.sleep(0)

        async def make(table: TaskTable) -> None:
            for _ in range(100):
                await table.enqueue(new())
                for claim in await table.claim("w", [KIND], limit=2):
                    await table.complete(claim)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(make(table) for table in (one, two) for _ in range(2)))
        ended = True
        await watching
        there = {task.id: task.state for task in await one.listed(TENANT, limit=1000)}
        assert len(there) == 400
        assert seen == there


async def test_one_bad_call_of_a_transaction_fails_alone(table: TaskTable) -> None:
    numbers = await table.enqueue_all([new(), new()])
    claims = await table.claim("w", [KIND])
    await table.cancel(TENANT, ids=[numbers[0]])
    calls = [table.complete(claim) for claim in claims] + [table.enqueue(new()) for _ in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcomes[0], MeshError)
    assert not [outcome for outcome in outcomes[1:] if isinstance(outcome, BaseException)]
    assert (await table.counts())[State.READY] == 20


async def test_it_is_opened_again_as_it_was(where: Path | str, clock: Clock) -> None:
    async with opened(where, clock) as table:
        number = await table.enqueue(new(b"kept"))
        (claim,) = await table.claim("w", [KIND])
        cursor = (await table.changes()).cursor
    async with opened(where, clock) as table:
        assert await table.payload(TENANT, number) == b"kept"
        await table.complete(claim, b"done")
        assert [task.id for task in (await table.changes(cursor)).tasks] == [number]


async def test_a_newer_form_is_left_alone(where: Path | str, clock: Clock) -> None:
    async with opened(where, clock):
        pass
    assert len(SCHEMA.migrations) < 99
    run(where, "UPDATE task_schema SET version = 99")
    with pytest.raises(MeshError, match="newer NEXUS"):
        async with opened(where, clock):
            pass


async def test_two_that_open_an_empty_place_at_once_both_do(where: Path | str, clock: Clock) -> None:
    async def once() -> None:
        async with opened(where, clock) as table:
            await table.enqueue(new())

    await asyncio.gather(*(once() for _ in range(4)))
    async with opened(where, clock) as table:
        assert (await table.counts())[State.READY] == 4


async def test_a_place_that_cannot_be_a_table_is_named(tmp_path: Path, clock: Clock) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no database" * 100)
    for path in (garbage, tmp_path / "no" / "folder", "postgresql://127.0.0.1:1/none?connect_timeout=1"):
        with pytest.raises(MeshError, match="can't be opened") as refused:
            async with opened(path, clock):
                pass
        assert refused.value.reason == Reason.STORE_UNAVAILABLE


async def test_a_lock_of_another_process_is_waited_for_and_then_told(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "tasks.db", clock) as table:
        await table.enqueue(new())
        with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(MeshError, match="held by another process") as refused:
                await table.enqueue(new())
            assert refused.value.reason == Reason.STORE_UNAVAILABLE
            assert (await table.counts())[State.READY] == 1, "looking goes on"
        await table.enqueue(new())
        assert (await table.counts())[State.READY] == 2


async def test_a_connection_that_breaks_is_opened_again(postgres_url: str, clock: Clock) -> None:
    async with opened(postgres_url, clock) as table:
        number = await table.enqueue(new(b"kept", key="k"))
        ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await table.counts()
        run(postgres_url, f"{ours} AND pid <> pg_backend_pid()")
        for call in (lambda: table.enqueue(new(b"kept", key="k")), lambda: table.payload(TENANT, number)):
            with pytest.raises(MeshError) as refused:
                await call()
            assert refused.value.reason == Reason.STORE_UNAVAILABLE
        assert await table.enqueue(new(b"kept", key="k")) == number
        assert await table.payload(TENANT, number) == b"kept"


async def test_a_dump_in_a_younger_server_goes_on_with_greater_revisions(
    postgres_url: str, clock: Clock
) -> None:
    async with opened(postgres_url, clock) as table:
        await table.enqueue(new())
    run(postgres_url, "UPDATE tasks SET revision = revision + 1000000000")
    async with opened(postgres_url, clock) as table:
        cursor = (await table.changes()).cursor
        (claim,) = await table.claim("w", [KIND])
        (change,) = (await table.changes(cursor)).tasks
        assert (change.id, change.state) == (claim.id, State.RUNNING)
        assert claim.epoch > 1_000_000_000
