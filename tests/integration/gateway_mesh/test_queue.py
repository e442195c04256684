"""Waiting for a place: who goes when, who is turned away, and that nobody is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from nexus.router.v1 import snapshot_pb2
from nexus_gateway.accounts import Principal
from nexus_gateway.queueing.priority import Priority
from nexus_mesh.errors import MeshError, Reason
from prometheus_client import REGISTRY
from support.gateway_bench import GatewayBench, chat, read_all
from support.scripted_adapter import ScriptedAdapter, text_of
from support.waiting import eventually

PATIENT: dict[str, Any] = {"wait": 60, "stretch": 1000}


def waiting() -> int:
    return int(REGISTRY.get_sample_value("nexus_gateway_queue_length") or 0)


def refused(why: str) -> float:
    return REGISTRY.get_sample_value("nexus_gateway_queue_refusals_total", {"why": why}) or 0.0


async def held_box(bench: GatewayBench, name: str = "box") -> ScriptedAdapter:
    box = await bench.adapter(name)
    box.mode = "held"
    return box


class Crowd:
    """Requests under way, each named by its id."""

    def __init__(self, bench: GatewayBench) -> None:
        self._bench = bench
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    async def send(self, name: str, tenant: str = "a", weight: int = 1, **changes: Any) -> asyncio.Task[Any]:
        """Sends one and lets it run until it waits for somebody else."""
        principal = Principal(f"key of {tenant}", tenant, tenant, weight)
        request = chat(request_id=name, principal=principal, **changes)
        task = asyncio.create_task(self._bench.pipeline.complete(request))
        self.tasks[name] = task
        await asyncio.sleep(0)
        return task

    async def send_all(self, prefix: str, count: int, tenant: str = "a", **changes: Any) -> None:
        for number in range(count):
            await self.send(f"{prefix}{number}", tenant, **changes)

    async def finish(self) -> Counter[str]:
        """What became of all: "ok" or the reason of the error."""
        results = await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        return Counter(each.reason.value if isinstance(each, MeshError) else _fine(each) for each in results)


def _fine(result: Any) -> str:
    """Anything but an answer is a fault of ours."""
    if isinstance(result, BaseException):
        raise result
    return "ok"


async def started(box: ScriptedAdapter, count: int) -> list[str]:
    """The first `count` requests that arrived, in order."""
    await eventually(lambda: len(box.seen) >= count, what=f"{count} requests to arrive")
    return [envelope.request_id for envelope in box.seen[:count]]


async def one_by_one(box: ScriptedAdapter, count: int) -> list[str]:
    """The order in which `count` requests arrive when each is let go after the other."""
    for number in range(1, count):
        await started(box, number)
        box.let_go()
    return await started(box, count)


async def reason_of(task: asyncio.Task[Any]) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await task
    return caught.value


async def test_no_target_ever_has_more_than_its_places(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=4), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 20)
    most = 0
    for number in range(20):
        await started(box, min(20, number + 4))
        most = max(most, box.active)
        box.let_go()
    assert await crowd.finish() == {"ok": 20}
    assert (most, waiting(), bench.pipeline.traffic.active) == (4, 0, {})


async def test_in_the_order_they_came(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 6)
    assert await one_by_one(box, 6) == [f"r{number}" for number in range(6)]
    box.let_go()
    assert await crowd.finish() == {"ok": 6}


async def test_the_urgent_first_and_the_low_last(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send("running")
    await crowd.send("low", "b", priority=Priority.LOW)
    await crowd.send_all("normal", 2, "c")
    await crowd.send("high", "d", priority=Priority.HIGH)
    assert await one_by_one(box, 5) == ["running", "high", "normal0", "normal1", "low"]
    box.let_go()
    await crowd.finish()


async def test_one_tenant_floods_and_the_others_are_served_promptly(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=2), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("flood", 60, "flooder")
    await crowd.send_all("b", 3, "b")
    await crowd.send_all("c", 3, "c")
    # Two ran before the others came; then all three take turns.
    await started(box, 2)
    for number in range(2, 12):
        box.let_go()
        await started(box, number + 1)
    order = await started(box, 12)
    assert {each for each in order if each[0] in "bc"} == {"b0", "b1", "b2", "c0", "c1", "c2"}
    box.let_go(60)
    assert await crowd.finish() == {"ok": 66}


async def test_weights_are_kept(bench: GatewayBench) -> None:
    box = await held_box(bench)
    queue = {**PATIENT, "tenant_share": 1}
    await bench.start(box.target(capacity=1), queue=queue)
    crowd = Crowd(bench)
    await crowd.send("running", "x")
    await crowd.send_all("light", 12, "light")
    await crowd.send_all("heavy", 12, "heavy", weight=3)
    order = await one_by_one(box, 13)
    assert Counter(each.rstrip("0123456789") for each in order[1:]) == {"light": 3, "heavy": 9}
    box.let_go(20)
    await crowd.finish()


async def test_a_tenant_holds_no_more_than_its_share_while_others_wait(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=4), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("a", 8, "a")
    await crowd.send_all("b", 8, "b")
    assert await started(box, 4) == ["a0", "a1", "a2", "a3"]
    # By turns the first place would be a's. But b has as many as it wants, until each of them holds a half.
    for number in range(4, 7):
        box.let_go()
        await started(box, number + 1)
    assert (await started(box, 7))[4:] == ["b0", "b1", "a4"]
    box.let_go(16)
    assert await crowd.finish() == {"ok": 16}


async def test_whoever_leaves_gives_its_place_in_the_queue_to_the_next(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 4)
    await eventually(lambda: waiting() == 3, what="three to wait")
    crowd.tasks["r1"].cancel()
    await eventually(lambda: waiting() == 2, what="the one that left to be gone")
    assert await one_by_one(box, 3) == ["r0", "r2", "r3"]
    box.let_go()
    crowd.tasks.pop("r1")
    assert await crowd.finish() == {"ok": 3}


async def test_waiting_has_an_end(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue={"wait": 0.1})
    crowd, before = Crowd(bench), refused("timeout")
    await crowd.send_all("r", 2)
    error = await reason_of(crowd.tasks["r1"])
    assert (error.reason, error.metadata["reason"]) == (Reason.OVERLOAD, "saturated")
    assert float(error.metadata["eta_seconds"]) > 0
    assert (waiting(), refused("timeout") - before) == (0, 1)
    box.let_go()
    await crowd.tasks["r0"]


async def test_whoever_would_wait_too_long_is_told_at_once(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.delay = 0.3
    await bench.start(box.target(capacity=1), queue={"wait": 0.05})
    await bench.ask()  # from here on it is known how long one takes
    box.delay, box.mode = 0, "held"
    crowd, before = Crowd(bench), refused("eta")
    await crowd.send("running")
    error = await reason_of(await crowd.send("refused"))
    eta = float(error.metadata["eta_seconds"])
    assert (error.reason, error.metadata["reason"]) == (Reason.OVERLOAD, "saturated")
    assert eta >= 0.1
    assert error.retry_after is not None
    assert error.retry_after >= eta
    assert refused("eta") - before == 1
    box.let_go()
    await crowd.tasks["running"]
    assert len(box.seen) == 2


async def test_a_twentieth_of_the_total_time_is_waited_at_most(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT, timeouts={"total": 4})
    crowd = Crowd(bench)
    await crowd.send_all("r", 2)
    assert (await reason_of(crowd.tasks["r1"])).reason is Reason.OVERLOAD
    assert not crowd.tasks["r0"].done()
    box.let_go()
    await crowd.tasks["r0"]


async def test_a_full_queue_takes_from_those_who_have_most_of_it(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue={**PATIENT, "length": 4})
    crowd, before = Crowd(bench), refused("displaced")
    await crowd.send_all("a", 5, "a")
    alone = await reason_of(await crowd.send("a5", "a"))
    assert alone.reason is Reason.OVERLOAD
    await crowd.send("b0", "b")
    displaced = await reason_of(crowd.tasks["a4"])
    assert (displaced.reason, refused("displaced") - before) == (Reason.RATE_LIMIT, 1)
    over_its_share = await reason_of(await crowd.send("a6", "a"))
    assert over_its_share.reason is Reason.RATE_LIMIT
    assert waiting() == 4
    assert "b0" in await one_by_one(box, 3)
    box.let_go(5)
    assert await crowd.finish() == {"ok": 5, "OVERLOAD": 1, "RATE_LIMIT": 2}


async def test_those_of_less_priority_take_over_before_anybody_waits(bench: GatewayBench) -> None:
    boxes = [await held_box(bench, name) for name in ("a", "b", "c", "d", "e")]
    spare = await held_box(bench, "spare")
    targets = [box.target(capacity=1, priority=1) for box in boxes]
    await bench.start(*targets, spare.target(capacity=1, priority=2), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 6)
    for box in (*boxes, spare):
        await started(box, 1)
    assert waiting() == 0
    for box in (*boxes, spare):
        box.let_go()
    assert await crowd.finish() == {"ok": 6}


async def test_unknown_capacity_never_waits(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 30)
    await started(box, 30)
    box.let_go(30)
    assert await crowd.finish() == {"ok": 30}


async def test_unknown_capacity_with_a_bulkhead(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(), queue={**PATIENT, "bulkhead": 2})
    crowd = Crowd(bench)
    await crowd.send_all("r", 5)
    await started(box, 2)
    await eventually(lambda: waiting() == 3, what="the others to wait")
    box.let_go(5)
    assert await crowd.finish() == {"ok": 5}


async def test_old_numbers_do_not_shut_anybody_out(bench: GatewayBench) -> None:
    """What others are said to run may be over long ago, and nobody would tell: half of the places are tried."""
    box = await held_box(bench)
    await bench.start(box.target(capacity=4, taken=12), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 3)
    await started(box, 2)
    await eventually(lambda: waiting() == 1, what="the third to wait")
    bench.control.router.show(box.target(capacity=4, taken=1))
    await started(box, 3)
    box.let_go(3)
    assert await crowd.finish() == {"ok": 3}


async def test_a_new_target_takes_those_who_wait(bench: GatewayBench) -> None:
    box, other = await held_box(bench), await held_box(bench, "other")
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 4)
    await eventually(lambda: waiting() == 3, what="three to wait")
    bench.control.router.show(box.target(capacity=1), other.target(capacity=2))
    assert await started(other, 2) == ["r1", "r2"]
    assert waiting() == 1
    box.let_go(4)
    other.let_go(4)
    assert await crowd.finish() == {"ok": 4}


async def test_a_model_that_goes_away_is_not_waited_for(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 3)
    await eventually(lambda: waiting() == 2, what="two to wait")
    bench.control.router.show(box.target("another", capacity=1))
    for name in ("r1", "r2"):
        assert (await reason_of(crowd.tasks[name])).reason is Reason.MODEL_NOT_FOUND
    box.let_go()
    await crowd.tasks["r0"]


async def test_those_who_wait_for_a_backend_that_dies_are_told_so(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 5)
    await started(box, 1)
    await box.server.drain(settle=0, grace=0)
    results = await crowd.finish()
    assert sum(results.values()) == 5
    assert set(results) <= {"BACKEND_DOWN", "DRAINING"}
    assert (waiting(), bench.pipeline.traffic.active) == (0, {})


async def test_two_models_share_a_target_in_turns(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target("m", "n", capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("m", 5)
    await crowd.send_all("n", 2, model="n")
    order = await one_by_one(box, 5)
    assert Counter(each[0] for each in order) == {"m": 3, "n": 2}
    box.let_go(9)
    assert await crowd.finish() == {"ok": 7}


async def test_drain_sends_away_who_waits_and_lets_finish_who_runs(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 3)
    await started(box, 1)
    await eventually(lambda: waiting() == 2, what="two to wait")
    bench.mesh.draining.set()
    for name in ("r1", "r2"):
        assert (await reason_of(crowd.tasks[name])).reason is Reason.DRAINING
    assert (await reason_of(await crowd.send("r3"))).reason is Reason.DRAINING
    box.let_go()
    await crowd.tasks["r0"]
    assert waiting() == 0


async def test_a_stream_waits_before_it_begins(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    first = asyncio.create_task(bench.ask_stream())
    await started(box, 1)
    second = asyncio.create_task(bench.ask_stream())
    await eventually(lambda: waiting() == 1, what="the second to wait")
    box.let_go(2)
    assert await first == await second == "one two three"
    assert waiting() == 0


async def test_many_streams_at_once_do_not_all_take_the_same_place(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=2), queue=PATIENT)
    streams = [asyncio.create_task(bench.ask_stream()) for _ in range(10)]
    await eventually(lambda: waiting() == 8, what="all but two to wait")
    assert len(await started(box, 2)) == box.active == 2
    box.let_go(10)
    assert set(await asyncio.gather(*streams)) == {"one two three"}


async def test_a_stream_that_waits_long_is_handed_over_and_names_its_server_later(
    bench: GatewayBench,
) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT, commit_after=0.1)
    running = asyncio.create_task(bench.ask())
    await started(box, 1)
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        first = await anext(messages)
        assert (first.progress.phase, first.served.backend) == ("waiting", "")
        assert waiting() == 1
        box.let_go(2)
        second = await anext(messages)
        assert second.served.backend == "box"
        assert text_of(second) + await read_all(messages) == "one two three"
    await running


async def test_a_stream_whose_client_leaves_waits_no_longer(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT, commit_after=0.1)
    running = asyncio.create_task(bench.ask())
    await started(box, 1)
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        await anext(messages)
        assert waiting() == 1
    assert waiting() == 0
    box.let_go()
    await running
    assert len(box.seen) == 1


async def test_a_failed_attempt_goes_to_no_busy_target(bench: GatewayBench) -> None:
    bad, busy = await bench.adapter("bad"), await held_box(bench, "busy")
    bad.mode = "fail"
    await bench.start(busy.target(capacity=1, priority=1), bad.target(priority=2), queue=PATIENT)
    running = asyncio.create_task(bench.ask())
    await started(busy, 1)
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert (caught.value.reason, len(busy.seen)) == (Reason.UPSTREAM_ERROR, 1)
    busy.let_go()
    await running


async def test_fallbacks_stand_in_for_the_busy_only_where_policy_says_so(bench: GatewayBench) -> None:
    large, small = await held_box(bench, "large"), await held_box(bench, "small")
    targets = large.target("m", capacity=1), small.target("little", capacity=1)
    fallbacks = {"m": snapshot_pb2.Fallbacks(models=["little"])}
    await bench.start(*targets, policy={"fallbacks": fallbacks}, queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 3)
    await eventually(lambda: waiting() == 2, what="two to wait for the model they asked for")
    assert small.seen == []
    bench.control.router.show(*targets, fallbacks=fallbacks, overflow=True)
    assert await started(small, 1) == ["r1"]
    assert waiting() == 1
    large.let_go(3)
    small.let_go(3)
    assert await crowd.finish() == {"ok": 3}


async def test_a_full_fallback_of_a_model_nobody_offers_is_waited_for(bench: GatewayBench) -> None:
    little = await held_box(bench, "little")
    fallbacks = {"m": snapshot_pb2.Fallbacks(models=["little"])}
    await bench.start(little.target("little", capacity=1), policy={"fallbacks": fallbacks}, queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 3)
    assert sorted(await one_by_one(little, 3)) == ["r0", "r1", "r2"]
    little.let_go()
    assert await crowd.finish() == {"ok": 3}
