"""A second backend is asked too when a whole answer takes long: one answer, nobody works on for nothing."""

from __future__ import annotations

import asyncio

import pytest
from nexus.inference.v1 import inference_pb2
from nexus.router.v1 import snapshot_pb2
from nexus_mesh.core.errors import MeshError, Reason
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually

HEDGE = {"hedge": {"m*": 0.1}}


async def two(bench: GatewayBench, **fields: object) -> tuple[ScriptedAdapter, ScriptedAdapter]:
    """The first is preferred."""
    first, second = await bench.adapter("first"), await bench.adapter("second")
    await bench.start(first.target(priority=1), second.target(), **fields)  # pyright: ignore[reportArgumentType]
    return first, second


async def test_a_silent_backend_is_stood_in_for_and_let_go(bench: GatewayBench) -> None:
    first, second = await two(bench, policy=HEDGE)
    first.mode = "silent"
    answer = await bench.ask()
    assert (answer.served.backend, answer.served.attempts) == ("second", 2)
    assert answer.served.route_reason == inference_pb2.ROUTE_REASON_FAILOVER
    await eventually(lambda: first.active == 0, 1.0, "the loser to be freed")
    assert (len(first.seen), len(second.seen)) == (1, 1)


async def test_the_first_may_still_win(bench: GatewayBench) -> None:
    first, second = await two(bench, policy=HEDGE)
    first.delay, second.mode = 0.3, "silent"
    answer = await bench.ask()
    assert (answer.served.backend, answer.served.attempts) == ("first", 2)
    await eventually(lambda: second.active == 0, 1.0, "the loser to be freed")


async def test_quick_answers_streams_and_other_models_are_asked_for_once(bench: GatewayBench) -> None:
    first, second = await two(bench, policy={"hedge": {"other": 0.01, "embed-*": 0.01}})
    first.delay = 0.1
    assert (await bench.ask()).served.attempts == 1
    assert second.seen == []


async def test_when_both_fail_the_first_one_s_error_is_told(bench: GatewayBench) -> None:
    first, second = await two(bench, policy=HEDGE)
    first.delay, first.mode, first.reason = 0.3, "fail", Reason.UPSTREAM_ERROR
    second.mode, second.reason = "fail", Reason.OVERLOAD
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert caught.value.reason is Reason.UPSTREAM_ERROR
    assert (len(first.seen), len(second.seen)) == (1, 1)


async def test_a_failure_before_its_time_is_an_ordinary_one(bench: GatewayBench) -> None:
    first, _ = await two(bench, policy={"hedge": {"m": 5.0}})
    first.mode, first.reason = "fail", Reason.UPSTREAM_ERROR
    assert (await bench.ask()).served.backend == "second"


async def test_at_most_a_fifth_of_the_requests_is_asked_twice(bench: GatewayBench) -> None:
    first, second = await two(bench, policy=HEDGE)
    first.delay = second.delay = 0.4
    await asyncio.gather(*(bench.ask() for _ in range(50)))
    assert 50 < len(first.seen) + len(second.seen) <= 60


async def test_never_outside_the_zone(bench: GatewayBench) -> None:
    inside = await bench.adapter("inside", zone="home")
    outside = await bench.adapter("outside", zone="open")
    inside.delay = 0.3
    policy = {**HEDGE, "zones": {"m": "home"}}
    await bench.start(inside.target(), outside.target(), policy=policy)
    answer = await bench.ask()
    assert (answer.served.backend, answer.served.attempts, outside.seen) == ("inside", 1, [])


async def test_who_only_stands_in_is_not_asked_beside_the_first(bench: GatewayBench) -> None:
    own, other = await bench.adapter("own"), await bench.adapter("other")
    own.delay = 0.3
    fallbacks = {"m": snapshot_pb2.Fallbacks(models=["n"])}
    await bench.start(own.target("m"), other.target("n"), policy={**HEDGE, "fallbacks": fallbacks})
    answer = await bench.ask()
    assert (answer.served.backend, answer.served.attempts, other.seen) == ("own", 1, [])


async def test_nor_one_of_a_lower_tier(bench: GatewayBench) -> None:
    premium, economy = await bench.adapter("premium"), await bench.adapter("economy")
    premium.delay = 0.3
    policy = {**HEDGE, "tiers": {"m": "premium"}, "tier_drop": ["m"]}
    targets = premium.target(tier="premium"), economy.target(tier="economy", priority=1)
    await bench.start(*targets, policy=policy)
    answer = await bench.ask()
    assert (answer.served.backend, answer.served.attempts, economy.seen) == ("premium", 1, [])


async def test_when_both_answer_at_once_the_one_that_is_named_is_the_one_that_is_given(
    bench: GatewayBench,
) -> None:
    first, second = await two(bench, policy={"hedge": {"m": 0.02}})
    first.mode = second.mode = "held"
    first.tokens, second.tokens = 5, 7
    for number in range(1, 4):  # more are not asked twice in ten seconds
        bench.pipeline.traffic.latencies.retain((), set())
        asking = asyncio.create_task(bench.ask())
        await eventually(lambda: len(first.seen) == len(second.seen) == number, what="both to be asked")  # noqa: B023 - awaited at once
        first.let_go()
        second.let_go()
        answer = await asking
        assert answer.usage.completion_tokens == {"first": 5, "second": 7}[answer.served.backend]
        await eventually(lambda: first.active == second.active == 0, what="both to be over")
        for box in (first, second):
            box.hold_again()


async def test_who_leaves_frees_both(bench: GatewayBench) -> None:
    first, second = await two(bench, policy=HEDGE)
    first.mode = second.mode = "silent"
    asking = asyncio.create_task(bench.ask())
    await eventually(lambda: first.active == second.active == 1, what="both to be asked")
    asking.cancel()
    await eventually(lambda: first.active == second.active == 0, 1.0, "both to be freed")


async def test_who_is_often_late_is_asked_later(bench: GatewayBench) -> None:
    slow, quick = await bench.adapter("slow"), await bench.adapter("quick")
    slow.delay = 0.5
    await bench.start(slow.target(), quick.target())
    for _ in range(8):
        await bench.ask()
    slow.seen.clear()
    quick.seen.clear()
    bench.pipeline.traffic.latencies._due = 0.0  # pyright: ignore[reportPrivateUsage] - compared once a second
    for _ in range(8):
        await bench.ask()
    assert (len(slow.seen), len(quick.seen)) == (0, 8)


async def test_a_long_answer_does_not_make_its_backend_slow(bench: GatewayBench) -> None:
    talkative, terse = await bench.adapter("talkative"), await bench.adapter("terse")
    talkative.delay, talkative.tokens, terse.tokens = 0.4, 400, 20
    await bench.start(talkative.target(), terse.target())
    for _ in range(8):
        await bench.ask()
    assert bench.pipeline.traffic.latencies.slow() == {}
