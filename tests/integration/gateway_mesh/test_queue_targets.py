"""What there is to wait for: targets that come, go, fail, are full, or do not tell."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from nexus.router.v1 import snapshot_pb2
from nexus_mesh.core.errors import MeshError, Reason
from support.crowd import PATIENT, Crowd, held_box, one_by_one, reason_of, started, waiting
from support.gateway_bench import GatewayBench
from support.waiting import eventually


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
