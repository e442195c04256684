"""Calls that share a transaction share its fsync, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_database.commits import WAITING, Commits
from nexus_database.session import CollisionError, Driver, Session
from nexus_database.sqlite import Sqlite
from nexus_mesh.core import MeshError, Reason
from nexus_tasks.schema import SCHEMA
from support.task_tables import Clock

INSERT = "INSERT INTO task_payloads (id, payload) VALUES (?, ?)"


class Counting(Sqlite):
    commits = 0

    def commit(self) -> None:
        super().commit()
        self.commits += 1


@pytest.fixture
def writer(tmp_path: Path) -> Counting:
    return Counting(tmp_path / "tasks.db", SCHEMA)


@pytest_asyncio.fixture
async def commits(writer: Counting, tmp_path: Path) -> AsyncIterator[Commits]:
    commits = Commits(writer, Sqlite(tmp_path / "tasks.db", SCHEMA), SCHEMA, Clock(), lambda: None)
    await commits.open()
    yield commits
    await commits.close()


def insert(number: int, session: Session) -> int:
    return session.driver.run(INSERT, (number, session.revision.to_bytes(8)))


def kept(driver: Driver) -> list[int]:
    return [row[0] for row in driver.rows("SELECT id FROM task_payloads ORDER BY id")]


async def test_those_who_wait_at_the_same_time_share_a_transaction(
    commits: Commits, writer: Counting
) -> None:
    before = writer.commits
    done = await asyncio.gather(*(commits.write(lambda session, n=n: insert(n, session)) for n in range(500)))
    assert done == [1] * 500
    assert writer.commits - before < 100
    assert await commits.read(kept) == [*range(500)]


async def test_a_fault_of_one_is_its_own(commits: Commits) -> None:
    def broken(session: Session) -> int:
        insert(1000, session)
        raise ValueError

    def refused(session: Session) -> int:
        return insert(1, session) + insert(1, session)

    def polite(_: Session) -> int:
        raise MeshError(Reason.CONFLICT, "no")

    calls = [broken, refused, polite, *(lambda session, n=n: insert(n, session) for n in range(20, 30))]
    outcomes = await asyncio.gather(*map(commits.write, calls), return_exceptions=True)
    assert outcomes[3:] == [1] * 10
    assert isinstance(outcomes[0], ValueError)
    for outcome, reason in zip(outcomes[1:3], (Reason.INTERNAL, Reason.CONFLICT), strict=True):
        assert isinstance(outcome, MeshError)
        assert outcome.reason == reason
    assert await commits.read(kept) == [*range(20, 30)], "none of what failed is left"


async def test_who_met_another_tries_again(commits: Commits) -> None:
    tries = 0

    def met(session: Session) -> int:
        nonlocal tries
        tries += 1
        insert(tries, session)
        if tries < 3:
            raise CollisionError
        return tries

    assert await commits.write(met) == 3
    assert await commits.read(kept) == [3]

    def always(_: Session) -> None:
        raise CollisionError

    with pytest.raises(MeshError, match="too busy") as refused:
        await commits.write(always)
    assert refused.value.reason == Reason.STORE_UNAVAILABLE


async def test_more_than_can_wait_are_refused(commits: Commits) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Session) -> None:
        begun.set()
        go_on.wait()

    holding = asyncio.create_task(commits.write(hold))
    while not begun.is_set():  # noqa: ASYNC110 - it is set by the thread
        await asyncio.sleep(0)
    calls = [commits.write(lambda session, n=n: insert(n, session)) for n in range(WAITING + 7)]
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    go_on.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    await holding
    refused = [one for one in outcomes if isinstance(one, MeshError)]
    assert [one.reason for one in refused] == [Reason.OVERLOAD] * 7
    assert await commits.read(kept) == [*range(WAITING)]


async def test_an_idle_look_writes_nothing(commits: Commits, tmp_path: Path) -> None:
    await commits.write(lambda session: insert(1, session))
    log = tmp_path / "tasks.db-wal"
    before = log.stat()
    for _ in range(10):
        await commits.write(kept_by)
    after = log.stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def kept_by(session: Session) -> list[int]:
    return kept(session.driver)


async def test_what_was_asked_before_it_closes_is_done(commits: Commits) -> None:
    calls = [asyncio.ensure_future(commits.write(lambda session, n=n: insert(n, session))) for n in range(50)]
    await asyncio.sleep(0)
    await commits.close()
    assert await asyncio.gather(*calls) == [1] * 50
