"""What may stand in for what was asked for, and how the answer says so."""

from __future__ import annotations

import json

import pytest
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.router.v1 import snapshot_pb2
from nexus_mesh.core.errors import UNREACHED, MeshError, Reason
from support.gateway_bench import GatewayBench

FALLBACKS = {"large": snapshot_pb2.Fallbacks(models=["small", "tiny"])}
DOWN = instance_pb2.STATE_UNHEALTHY


async def test_a_model_that_fails_is_stood_in_for_under_its_own_name(bench: GatewayBench) -> None:
    large, small = await bench.adapter("large-box"), await bench.adapter("small-box")
    large.mode, large.reason = "fail", Reason.UPSTREAM_ERROR
    await bench.start(large.target("large"), small.target("small"), policy={"fallbacks": FALLBACKS})
    served = (await bench.ask(model="large")).served
    assert (served.backend, served.model, served.fallback_model) == ("small-box", "small", "small")
    assert (served.attempts, served.route_reason) == (2, inference_pb2.ROUTE_REASON_FAILOVER)
    assert json.loads(small.seen[0].body)["model"] == "small"


async def test_a_model_nobody_can_serve_now_is_stood_in_for_at_once(bench: GatewayBench) -> None:
    large, tiny = await bench.adapter("large-box"), await bench.adapter("tiny-box")
    await bench.start(large.target("large", state=DOWN), tiny.target("tiny"), policy={"fallbacks": FALLBACKS})
    served = (await bench.ask(model="large")).served
    assert (served.fallback_model, served.attempts) == ("tiny", 1)
    assert served.route_reason == inference_pb2.ROUTE_REASON_FAILOVER
    assert large.seen == []
    assert await bench.ask_stream(model="large") == "one two three"


async def test_nothing_stands_in_that_was_not_named(bench: GatewayBench) -> None:
    large, small = await bench.adapter("large-box"), await bench.adapter("small-box")
    await bench.start(large.target("large", state=DOWN), small.target("small"))
    with pytest.raises(MeshError) as caught:
        await bench.ask(model="large")
    assert (caught.value.reason, small.seen) == (Reason.BACKEND_DOWN, [])


async def test_no_fallback_leaves_the_zone_of_what_was_asked_for(bench: GatewayBench) -> None:
    large, small = await bench.adapter("large-box"), await bench.adapter("small-box")
    await bench.start(
        large.target("large", state=DOWN),
        small.target("small"),
        policy={"fallbacks": FALLBACKS, "zones": {"large": "restricted"}},
    )
    with pytest.raises(MeshError) as caught:
        await bench.ask(model="large")
    assert (caught.value.reason, small.seen) == (Reason.PRIVACY_ZONE, [])


async def test_a_prompt_too_long_goes_to_a_larger_context_and_to_no_other(bench: GatewayBench) -> None:
    boxes = {name: await bench.adapter(name) for name in ("first", "second", "small", "wide")}
    for name in ("first", "second", "small"):
        boxes[name].mode, boxes[name].reason = "fail", Reason.CONTEXT_LENGTH
    await bench.start(
        boxes["first"].target("large", context=4096, priority=1),
        boxes["second"].target("large", context=4096, priority=2),
        boxes["small"].target("small", context=2048),
        boxes["wide"].target("tiny", context=32768),
        policy={"fallbacks": FALLBACKS},
    )
    assert bench.pipeline.table.table.resolve("tiny")
    with pytest.raises(MeshError) as caught:
        await bench.ask(model="small")
    assert caught.value.reason is Reason.CONTEXT_LENGTH
    boxes["small"].seen.clear()
    served = (await bench.ask(model="large")).served
    assert (served.backend, served.fallback_model) == ("wide", "tiny")
    assert [len(box.seen) for box in boxes.values()] == [1, 0, 0, 1]


async def test_a_lower_tier_helps_out_only_where_that_is_allowed(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    target = box.target(tier="economy")
    await bench.start(target, policy={"tiers": {"m": "premium"}})
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert (caught.value.metadata["reason"], caught.value.metadata["required_tier"]) == ("tier", "premium")
    version = bench.pipeline.table.snapshot
    bench.control.router.show(target, tiers={"m": "premium"}, tier_drop=["m"])
    await bench.until_newer(version)
    assert (await bench.ask()).served.dropped_tier == "economy"


async def test_who_is_full_gives_way_to_who_is_not(bench: GatewayBench) -> None:
    first, second = await bench.adapter("first"), await bench.adapter("second")
    first.mode = "stall"
    await bench.start(first.target(priority=1, capacity=1), second.target(priority=2, capacity=1))
    async with bench.stream() as messages:
        await anext(messages)
        served = (await bench.ask()).served
    assert (served.backend, served.route_reason) == ("second", inference_pb2.ROUTE_REASON_CAPACITY_OVERFLOW)


async def test_who_asks_to_be_left_alone_is(bench: GatewayBench) -> None:
    busy, other = await bench.adapter("busy"), await bench.adapter("other")
    busy.mode, busy.reason, busy.retry_after = "fail", Reason.RATE_LIMIT, 30
    await bench.start(busy.target(priority=1), other.target(priority=2))
    for _ in range(5):
        assert (await bench.ask()).served.backend == "other"
    assert len(busy.seen) == 1


async def test_a_backend_alone_that_asks_to_be_left_alone_tells_the_client_when(bench: GatewayBench) -> None:
    busy = await bench.adapter("busy")
    busy.mode, busy.reason, busy.retry_after = "fail", Reason.RATE_LIMIT, 30
    await bench.start(busy.target())
    for _ in range(3):
        with pytest.raises(MeshError) as caught:
            await bench.ask()
        assert caught.value.reason is Reason.RATE_LIMIT
        assert 25 < (caught.value.retry_after or 0) <= 30
    assert len(busy.seen) == 1


async def test_a_backend_that_cannot_be_reached_gets_nothing_after_its_first_failure(
    bench: GatewayBench,
) -> None:
    dead, good = await bench.adapter("dead"), await bench.adapter("good")
    dead.mode, dead.reason, dead.metadata = "fail", Reason.BACKEND_DOWN, {UNREACHED: "1"}
    await bench.start(dead.target(priority=1), good.target(priority=2))
    for _ in range(20):
        assert (await bench.ask()).served.backend == "good"
    # After a second one request looks whether it is back; twenty answers take less than that or a little more.
    assert len(dead.seen) <= 2
