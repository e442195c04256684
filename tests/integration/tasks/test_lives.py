"""What becomes of tasks: accepted, claimed, finished, tried again, cancelled, erased."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from nexus_mesh.core import MeshError, Reason
from nexus_tasks import DEADLINE, RETRIES, WORKER_LOST, State, TaskTable
from support.task_tables import KIND, TENANT, Clock, new


async def refused(call: object) -> Reason:
    with pytest.raises(MeshError) as error:
        await call  # type: ignore[misc]
    return error.value.reason


async def test_a_task_is_accepted_worked_on_and_done(table: TaskTable, clock: Clock) -> None:
    number = await table.enqueue(new(b"\x00\xff", group="job"))
    waiting = await table.get(TENANT, number)
    assert (waiting.state, waiting.attempt, waiting.create_time) == (State.READY, 0, clock.now)
    (claim,) = await table.claim("w1", [KIND], lease=10)
    assert (claim.id, claim.payload, claim.attempt, claim.lease_until) == (
        number,
        b"\x00\xff",
        1,
        clock.now + 10,
    )
    await table.progress(claim, 0.25, "a quarter")
    running = await table.get(TENANT, number)
    assert (running.state, running.worker, running.progress) == (State.RUNNING, "w1", 0.25)
    assert running.message == "a quarter"
    assert await table.result(TENANT, number) is None
    clock.move(3)
    assert await table.complete(claim, b"a picture") == []
    done = await table.get(TENANT, number)
    assert (done.state, done.finish_time, done.progress) == (State.SUCCEEDED, clock.now, 1.0)
    assert await table.result(TENANT, number) == b"a picture"
    assert await table.payload(TENANT, number) == b"\x00\xff"


async def test_another_tenant_sees_and_changes_nothing(table: TaskTable) -> None:
    number = await table.enqueue(new(b"mine", group="job"))
    (claim,) = await table.claim("w", [KIND])
    await table.fail(claim, "never")
    for call in (table.get, table.payload, table.result):
        assert await refused(call("other", number)) == Reason.OBJECT_NOT_FOUND
    assert await refused(table.redrive("other", number)) == Reason.CONFLICT
    await table.redrive(TENANT, number)
    assert await table.cancel("other", ids=[number]) == 0
    assert await table.cancel("other", group="job") == 0
    assert await table.erase("other") == 0
    assert await table.listed("other") == []
    assert (await table.changes(tenant="other")).tasks == ()
    assert (await table.get(TENANT, number)).state == State.READY


async def test_the_urgent_go_first_and_kinds_keep_apart(table: TaskTable, clock: Clock) -> None:
    late = await table.enqueue(new(priority=5))
    clock.move(1)
    other = await table.enqueue(new(kind="other", priority=-9))
    urgent = await table.enqueue(new(priority=-5))
    usual = await table.enqueue_all([new(), new()])
    assert [claim.id for claim in await table.claim("w", [KIND], limit=2)] == [urgent, usual[0]]
    assert [claim.id for claim in await table.claim("w", ["none"])] == []
    assert [claim.id for claim in await table.claim("w", [KIND, "other"])] == [other, usual[1], late]


async def test_a_task_waits_for_its_time(table: TaskTable, clock: Clock) -> None:
    number = await table.enqueue(new(run_after=clock.now + 60))
    assert (await table.get(TENANT, number)).state == State.WAITING
    clock.move(59)
    assert await table.claim("w", [KIND]) == []
    clock.move(1)
    assert [claim.id for claim in await table.claim("w", [KIND])] == [number]


async def test_nobody_gets_a_task_past_its_deadline(table: TaskTable, clock: Clock) -> None:
    numbers = await table.enqueue_all([new(deadline=clock.now + 10), new(deadline=clock.now + 10)])
    (claim,) = await table.claim("w", [KIND], limit=1, lease=60)
    clock.move(10)
    assert await table.claim("w", [KIND]) == []
    for number in numbers:
        task = await table.get(TENANT, number)
        assert (task.state, task.reason) == (State.FAILED, DEADLINE)
    assert await refused(table.complete(claim)) == Reason.CONFLICT


async def test_a_lost_lease_goes_to_another_worker_whose_word_alone_counts(
    table: TaskTable, clock: Clock
) -> None:
    number = await table.enqueue(new())
    (first,) = await table.claim("w1", [KIND], lease=10)
    clock.move(9)
    (renewed,) = await table.renew([first], lease=10)
    assert renewed.lease_until == clock.now + 10
    clock.move(10)
    (second,) = await table.claim("w2", [KIND], lease=10)
    assert second.id == number
    assert second.epoch > first.epoch
    assert second.attempt == 2
    assert await table.renew([first]) == []
    for call in (table.complete(first, b"late"), table.fail(first, "x"), table.progress(first, 0.5)):
        assert await refused(call) == Reason.CONFLICT
    assert await table.release([first]) == 0
    assert await table.complete(second, b"right") == []
    assert await table.result(TENANT, number) == b"right"


async def test_a_payload_that_kills_its_workers_is_parked(table: TaskTable, clock: Clock) -> None:
    number = await table.enqueue(new())
    for attempt in range(1, RETRIES[WORKER_LOST].limit + 1):
        (claim,) = await table.claim("w", [KIND], lease=10)
        assert claim.attempt == attempt
        clock.move(10)
        await table.sweep()
        clock.move(RETRIES[WORKER_LOST].delays[-1])
    task = await table.get(TENANT, number)
    assert (task.state, task.reason) == (State.FAILED, WORKER_LOST)
    await table.redrive(TENANT, number)
    (claim,) = await table.claim("w", [KIND])
    assert (claim.id, claim.attempt) == (number, 1)


async def test_a_failure_is_tried_again_as_the_table_says(table: TaskTable, clock: Clock) -> None:
    number = await table.enqueue(new())
    (claim,) = await table.claim("w", [KIND])
    assert await table.fail(claim, Reason.BACKEND_LOST, "gone", retry_after=7) == State.WAITING
    task = await table.get(TENANT, number)
    assert (task.run_after, task.reason, task.message) == (clock.now + 7, "BACKEND_LOST", "gone")
    assert await table.fail(claim, Reason.BACKEND_LOST) == State.WAITING, "said twice it counts once"
    clock.move(7)
    (claim,) = await table.claim("w", [KIND])
    assert claim.attempt == 2
    assert await table.fail(claim, Reason.INVALID_REQUEST, "no such size") == State.FAILED
    assert await table.claim("w", [KIND]) == []


async def test_a_completion_counts_once_with_all_that_follows(table: TaskTable) -> None:
    await table.enqueue(new())
    (claim,) = await table.claim("w", [KIND])
    follows = await table.complete(claim, b"r", [new(b"a", kind="next"), new(b"b", kind="next", key="b")])
    assert follows is not None
    assert len(follows) == 2
    assert await table.complete(claim, b"r", [new(b"a", kind="next")]) is None
    assert (await table.counts(kind="next"))[State.READY] == 2
    await table.enqueue(new())
    (claim,) = await table.claim("w", [KIND])
    assert (
        await refused(table.complete(claim, b"r", [new(b"other", kind="next", key="b")])) == Reason.CONFLICT
    )
    assert (await table.get(TENANT, claim.id)).state == State.RUNNING, "all of it or none"


async def test_a_key_stands_for_one_piece_of_work(table: TaskTable) -> None:
    number = await table.enqueue(new(b"x", key="k"))
    assert await table.enqueue(new(b"x", key="k", priority=3)) == number
    for other in (new(b"y", key="k"), new(b"x", key="k", group="g")):
        assert await refused(table.enqueue(other)) == Reason.CONFLICT
    assert await table.enqueue(new(b"x", key="k", kind="other")) != number
    assert await table.enqueue(new(b"x", key="k", tenant="other")) != number
    batch = await table.enqueue_all([new(b"x", key="k"), new(b"z", key="z"), new(b"z", key="z"), new(b"z")])
    assert batch[0] == number
    assert batch[1] == batch[2] != batch[3]
    assert await refused(table.enqueue_all([new(b"q", key="q"), new(b"y", key="k")])) == Reason.CONFLICT
    assert (await table.counts(tenant=TENANT, kind=KIND))[State.READY] == 3, "all or none"


async def test_a_group_is_cancelled_at_once(table: TaskTable, clock: Clock) -> None:
    members = await table.enqueue_all(
        [new(group="job"), new(group="job"), new(group="job", run_after=clock.now + 9)]
    )
    outside = await table.enqueue(new(group="another"))
    (claim,) = await table.claim("w", [KIND], limit=1)
    assert await table.cancel(TENANT, group="job") == 3
    assert await table.cancel(TENANT, group="job") == 0
    for member in members:
        assert (await table.get(TENANT, member)).state == State.CANCELLED
    assert await table.renew([claim]) == []
    assert await refused(table.complete(claim, b"late")) == Reason.CONFLICT
    assert await table.result(TENANT, claim.id) is None
    assert [one.id for one in await table.claim("w", [KIND])] == [outside]


async def test_what_was_not_begun_goes_back_uncounted(table: TaskTable) -> None:
    await table.enqueue(new())
    (claim,) = await table.claim("w", [KIND])
    assert await table.release([claim]) == 1
    (again,) = await table.claim("w", [KIND])
    assert (again.id, again.attempt) == (claim.id, 1)
    assert again.epoch > claim.epoch


async def test_pages_and_counts(table: TaskTable) -> None:
    numbers = await table.enqueue_all([new(group="a" if index % 2 else "b") for index in range(10)])
    first = await table.listed(TENANT, limit=4)
    rest = await table.listed(TENANT, after=first[-1].id, limit=100)
    assert [task.id for task in [*first, *rest]] == numbers
    assert len(await table.listed(TENANT, group="a")) == 5
    await table.claim("w", [KIND], limit=3)
    counts = await table.counts(tenant=TENANT)
    assert (counts[State.READY], counts[State.RUNNING], counts[State.FAILED]) == (7, 3, 0)
    assert len(await table.listed(TENANT, state=State.RUNNING)) == 3


async def test_old_ones_are_pruned_and_their_keys_free_again(table: TaskTable, clock: Clock) -> None:
    old = await table.enqueue(new(b"x", key="k"))
    (claim,) = await table.claim("w", [KIND])
    await table.complete(claim, b"r")
    clock.move(100)
    (young, running) = await table.enqueue_all([new(), new()])
    claims = await table.claim("w", [KIND])
    await table.complete(claims[0])
    assert await table.prune(clock.now - 50) == 1
    assert await refused(table.get(TENANT, old)) == Reason.OBJECT_NOT_FOUND
    assert [task.id for task in await table.listed(TENANT)] == [young, running]
    assert await table.enqueue(new(b"other", key="k")) > running, "a number never comes again"


async def test_an_erased_tenant_leaves_nothing(table: TaskTable, where: Path | str, clock: Clock) -> None:
    canary = b"canary-of-the-tenant-" + b"x" * 3000
    mine = await table.enqueue_all([new(canary, key=f"canary-key-{index}") for index in range(1200 // 2)])
    await table.enqueue_all([new(canary) for _ in range(600)])
    theirs = await table.enqueue(new(b"theirs", tenant="other"))
    claims = await table.claim("w", [KIND], limit=10)
    await table.complete(claims[0], canary)
    assert await table.erase(TENANT) == 1200
    assert await refused(table.get(TENANT, mine[0])) == Reason.OBJECT_NOT_FOUND
    assert await table.payload("other", theirs) == b"theirs"
    assert await refused(table.complete(claims[1])) == Reason.CONFLICT
    if isinstance(where, Path):
        for file in where.parent.iterdir():
            assert b"canary" not in file.read_bytes(), file


async def test_changes_are_told_once_each_and_in_order(table: TaskTable) -> None:
    numbers = await table.enqueue_all([new(), new(), new(tenant="other")])
    everything = await table.changes()
    assert [task.id for task in everything.tasks] == numbers
    assert (await table.changes(everything.cursor)).tasks == ()
    claims = await table.claim("w", [KIND], limit=2)
    await table.progress(claims[1], 0.5)
    await table.complete(claims[0])
    changed = await table.changes(everything.cursor, tenant=TENANT)
    assert [(task.id, task.state) for task in changed.tasks] == [
        (claims[1].id, State.RUNNING),
        (claims[0].id, State.SUCCEEDED),
    ]
    one = await table.changes(everything.cursor, limit=1)
    two = await table.changes(one.cursor)
    assert one.tasks + two.tasks == changed.tasks


async def test_a_watcher_sees_it_end(table: TaskTable) -> None:
    number = await table.enqueue(new())
    seen: list[tuple[State, float]] = []
    begun = asyncio.Event()

    async def watch() -> None:
        async for task in table.watch(TENANT, number, poll=30):
            seen.append((task.state, task.progress))
            begun.set()

    watching = asyncio.create_task(watch())
    await begun.wait()
    (claim,) = await table.claim("w", [KIND])
    await table.progress(claim, 0.5)
    await table.complete(claim)
    await watching
    assert seen[0] == (State.READY, 0.0)
    assert seen[-1] == (State.SUCCEEDED, 1.0)


async def test_a_claim_waits_for_the_first_task(table: TaskTable) -> None:
    waiting = asyncio.create_task(table.claim("w", [KIND], wait=60))
    await table.sweep()  # it was asked after the first look of the other
    assert not waiting.done()
    number = await table.enqueue(new())
    assert [claim.id for claim in await waiting] == [number]
    assert await table.claim("w", [KIND], wait=0.01) == []


async def test_what_a_caller_gets_that_gave_up_goes_back(table: TaskTable) -> None:
    numbers = await table.enqueue_all([new() for _ in range(200)])
    for turns in range(40):
        claiming = asyncio.create_task(table.claim("w", [KIND], limit=5))
        for _ in range(turns):
            await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
    kept = set()
    while claims := await table.claim("w", [KIND], limit=200):
        kept |= {claim.id for claim in claims}
    assert kept == set(numbers)
