"""Admission without a network: the moments that a real one hits only by chance, and what estimates decide."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from nexus.registry.v1 import instance_pb2
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.access.accounts import Principal
from nexus_gateway.admission.admission import Admission
from nexus_gateway.admission.settings import QueueSettings
from nexus_gateway.core.priority import Priority
from nexus_gateway.core.request import RequestContext
from nexus_gateway.fleet.breakers import Breakers
from nexus_gateway.fleet.bulkheads import Bulkheads
from nexus_gateway.fleet.connections import Reachability
from nexus_gateway.fleet.routing_table import RoutingTable
from nexus_gateway.fleet.traffic import Attempt, Traffic
from nexus_gateway.pipeline.steps import Admit
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.settings import Timeouts
from nexus_routing import Requirements, plan
from support.gateway_bench import chat

LONG: dict[str, Any] = {"wait": 60, "stretch": 1000}

SERVER_NAME = "a.node.default.zone.adapter.nexus.internal"


class Door:
    """An admission in front of targets named by letters, and those who went in by it."""

    def __init__(self, **settings: Any) -> None:
        queue = QueueSettings(**settings)
        self.now = 0.0
        self.table, self.places = RoutingTable("nexus.internal"), Bulkheads(clock=lambda: self.now)
        reachability = Reachability(_never, asyncio.create_task)  # type: ignore[arg-type]
        self.traffic = Traffic(reachability, Breakers(), self.places)
        self.admission = Admission(queue, self.table, self.traffic, asyncio.Event())
        self.table.subscribe(self.admission.refresh)
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[Attempt]] = []

    def show(self, **places: int) -> None:
        """Targets and how many places each has."""
        snapshot = snapshot_pb2.Snapshot()
        for name, capacity in places.items():
            target = snapshot.targets.add(
                id=f"node/adapter/a#{name}",
                instance="node/adapter/a",
                zone="default",
                server_name=SERVER_NAME,
                backend=name,
                address=name,
                state=instance_pb2.STATE_ACTIVE,
            )
            target.load.capacity = capacity
            target.models.add(id="m", operations=[model_pb2.OPERATION_CHAT], loaded=True)
        self.table.replace(snapshot)

    async def come(self, name: str, tenant: str = "a", priority: Priority = Priority.NORMAL) -> Attempt:
        """Goes in when there is a place."""
        context = RequestContext(
            chat(principal=Principal(tenant, tenant, tenant), priority=priority), Timeouts(total=10_000)
        )
        await self._plan(context)
        await Admit(self.traffic.places, self.admission, self._plan).start(context)
        assert context.plan is not None
        free = [
            each
            for each in context.plan.candidates
            if self.traffic.admits(each, context.tenant, last=context.plan.last)
        ]
        if not free:
            raise MeshError(Reason.BACKEND_DOWN, "nobody is there")
        self.order.append(name)
        return Attempt(self.traffic, free[0], context.tenant)

    def send(self, name: str, tenant: str = "a", **more: Any) -> asyncio.Task[Attempt]:
        task = asyncio.create_task(self.come(name, tenant, **more))
        self.tasks.append(task)
        return task

    async def _plan(self, context: RequestContext) -> None:
        context.requirements = Requirements(model_pb2.OPERATION_CHAT, "m")
        context.plan = plan(self.table.table, context.requirements, self.traffic.conditions(context.tenant))


async def _never(_: object) -> bool:
    await asyncio.Event().wait()
    return False


@pytest.fixture
async def door() -> AsyncIterator[Callable[..., Door]]:
    doors: list[Door] = []

    def make(**settings: Any) -> Door:
        doors.append(Door(**{**LONG, **settings}))
        return doors[-1]

    yield make
    for each in doors:
        left = [task for task in each.tasks if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in each.tasks:
            if not task.cancelled() and task.exception() is None:
                task.result().close()
        assert each.places.active == {}
        assert [line.running for line in each.places.lines.values() if not line.idle] == []


async def settle() -> None:
    """Lets everybody go on who can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def refusal(asking: Awaitable[Attempt]) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await asking
    return caught.value


async def test_a_place_given_to_somebody_who_leaves_at_that_moment_goes_to_the_next(
    door: Callable[..., Door],
) -> None:
    there = door()
    there.show(x=1)
    first = await there.come("first")
    second, third = there.send("second"), there.send("third")
    await settle()
    first.close()  # the place is the second's now, who does not know it yet
    second.cancel()
    await settle()
    assert there.order == ["first", "third"]
    third.result().close()


async def test_somebody_who_has_just_left_is_given_no_place(door: Callable[..., Door]) -> None:
    there = door()
    there.show(x=1)
    first = await there.come("first")
    second, third = there.send("second"), there.send("third")
    await settle()
    second.cancel()  # its task has not run since, it still stands in the queue
    first.close()
    await settle()
    assert there.order == ["first", "third"]
    third.result().close()


async def test_nobody_overtakes_whoever_a_place_is_kept_for(door: Callable[..., Door]) -> None:
    there = door()
    there.show(x=1)
    first = await there.come("first")
    waiting = there.send("waiting")
    await settle()
    first.close()
    newcomer = there.send("newcomer")
    await settle()
    assert (there.order, newcomer.done()) == (["first", "waiting"], False)
    waiting.result().close()
    (await newcomer).close()


async def test_a_place_that_was_kept_and_not_used_goes_on(door: Callable[..., Door]) -> None:
    there = door()
    there.show(x=1, y=1)
    attempts = [await there.come("1"), await there.come("2")]
    third, fourth = there.send("third"), there.send("fourth")
    await settle()
    for attempt in attempts:
        attempt.close()
    await settle()
    assert there.order[2:] == ["third", "fourth"]
    assert {third.done(), fourth.done()} == {True}


async def test_when_a_target_is_back_those_who_wait_go_before_a_newcomer(door: Callable[..., Door]) -> None:
    there = door()
    there.show(x=1, y=1)
    there.traffic.reachability.unreachable["y", ""] = "lost"
    first = await there.come("first")
    there.send("waiting")
    await settle()
    del there.traffic.reachability.unreachable["y", ""]
    there.send("newcomer")
    await settle()
    assert there.order == ["first", "waiting"]
    first.close()
    await settle()
    assert there.order[2:] == ["newcomer"]


async def test_whoever_waits_for_nobody_in_service_is_told_so(door: Callable[..., Door]) -> None:
    there = door()
    there.show(x=1)
    first = await there.come("first")
    waiting = [there.send(str(number)) for number in range(3)]
    await settle()
    there.traffic.reachability.unreachable["x", SERVER_NAME] = "lost"
    first.close()
    assert [(await refusal(task)).reason for task in waiting] == [Reason.BACKEND_DOWN] * 3


async def test_a_smaller_table_and_a_larger_one(door: Callable[..., Door]) -> None:
    there = door()
    there.show(x=2)
    attempts = [await there.come("1"), await there.come("2")]
    for name in ("3", "4", "5"):
        there.send(name)
    await settle()
    there.show(x=1)
    attempts[0].close()
    await settle()
    assert there.order == ["1", "2"]
    there.show(x=1, y=2)
    await settle()
    assert there.order == ["1", "2", "3", "4"]
    attempts[1].close()
    await settle()
    assert there.order[4:] == ["5"]


def measured(there: Door, seconds: float) -> None:
    """From now on it is known how long one takes."""
    there.places.line("m").seconds = seconds


async def test_a_tenant_is_told_of_its_share_only_when_that_is_the_reason(door: Callable[..., Door]) -> None:
    there = door(wait=14)
    there.show(x=2)
    attempts = [await there.come("a", "a")]
    there.now += 5
    attempts.append(await there.come("b", "b"))
    measured(there, 10)
    # One place in 5 s, then the other, then the first again.
    there.send("a1", "a")
    there.send("a2", "a")
    await settle()
    flooding = await refusal(there.come("a3", "a"))
    assert (flooding.reason, flooding.metadata) == (
        Reason.RATE_LIMIT,
        {"reason": "saturated", "eta_seconds": "15.0", "available_nodes": "node"},
    )
    assert flooding.retry_after is not None
    assert 15 <= flooding.retry_after <= 15 * 1.5 + 1
    polite = there.send("b1", "b")
    await settle()
    assert not polite.done()
    measured(there, 100)
    everybody = await refusal(there.come("b2", "c"))
    assert everybody.reason is Reason.OVERLOAD
    for attempt in attempts:
        attempt.close()
    await settle()


async def test_the_only_tenant_is_told_that_the_backends_are_busy(door: Callable[..., Door]) -> None:
    there = door(wait=10)
    there.show(x=1)
    attempt = await there.come("1")
    measured(there, 8)
    there.send("2")
    await settle()
    assert (await refusal(there.come("3"))).reason is Reason.OVERLOAD
    attempt.close()
    await settle()


async def test_no_wait_dwarfs_the_work(door: Callable[..., Door]) -> None:
    there = door(wait=10, stretch=0.75)
    there.show(x=4)
    attempts: list[Attempt] = []
    for number in range(4):
        attempts.append(await there.come(str(number)))
        there.now += 1
    there.now -= 1
    measured(there, 4)  # a place each second; three seconds may be waited
    waiting = [there.send(f"w{number}") for number in range(3)]
    await settle()
    assert not any(task.done() for task in waiting)
    assert (await refusal(there.come("too late"))).metadata["eta_seconds"] == "4.0"
    for attempt in attempts:
        attempt.close()
    await settle()


async def test_clients_refused_together_do_not_come_back_together(door: Callable[..., Door]) -> None:
    there = door(wait=1)
    there.show(x=1)
    attempt = await there.come("1")
    measured(there, 20)
    told = {round((await refusal(there.come("again"))).retry_after or 0) for _ in range(200)}
    assert len(told) >= 4
    attempt.close()
