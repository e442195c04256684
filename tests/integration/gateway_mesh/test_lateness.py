"""Who is late gets company: another one of the same model is asked meanwhile, and whoever is first is taken."""

from __future__ import annotations

import asyncio

import pytest
from nexus.router.v1 import snapshot_pb2
from nexus_gateway.fleet import latencies
from nexus_mesh.core.errors import MeshError, Reason
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually

DEAR = {"prices": [snapshot_pb2.Price(scope=snapshot_pb2.Scope(backends=["second"]), input=1.0, output=1.0)]}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UNKNOWN", "LEAST", "COLD"):
        monkeypatch.setattr(latencies, name, 0.2)


async def two(bench: GatewayBench) -> tuple[ScriptedAdapter, ScriptedAdapter]:
    """The first is preferred."""
    first, second = await bench.adapter("first"), await bench.adapter("second")
    await bench.start(first.target(priority=1), second.target())
    return first, second


async def ask(bench: GatewayBench, *, stream: bool) -> str:
    """Who answers."""
    if not stream:
        return (await bench.ask()).served.backend
    async with bench.stream() as messages:
        served = [message.served.backend async for message in messages if message.HasField("served")]
    return served[0]


@BOTH
async def test_a_silent_backend_is_not_waited_for(bench: GatewayBench, *, stream: bool) -> None:
    """B8: whatever it is that tells nothing of silence."""
    first, second = await two(bench)
    first.mode = "silent"
    assert await ask(bench, stream=stream) == "second"
    assert (len(first.seen), len(second.seen)) == (1, 1)
    await eventually(lambda: first.active == 0, what="the silent one to be let go")


@BOTH
async def test_a_slow_one_is_not_given_up_before_there_is_an_answer(
    bench: GatewayBench, *, stream: bool
) -> None:
    """B8: nor is whoever was asked beside it held to be late."""
    first, second = await two(bench)
    first.delay, second.mode = 0.5, "silent"
    assert await ask(bench, stream=stream) == "first"
    await eventually(lambda: second.active == 0, what="the other to be let go")
    assert first.cancelled == 0


@BOTH
async def test_if_the_one_beside_fails_the_first_goes_on(bench: GatewayBench, *, stream: bool) -> None:
    """B8: and the other way round."""
    first, second = await two(bench)
    first.delay, second.mode = 0.5, "fail"
    assert await ask(bench, stream=stream) == "first"
    first.mode, second.mode, second.delay = "fail", "ok", 0.5
    bench.pipeline.traffic._troubled.clear()  # pyright: ignore[reportPrivateUsage] - it failed ten seconds ago
    assert await ask(bench, stream=stream) == "second"


@BOTH
async def test_a_verdict_on_the_prompt_ends_both(bench: GatewayBench, *, stream: bool) -> None:
    """B8: a content filter is not routed around."""
    first, second = await two(bench)
    first.delay, first.mode, first.reason = 0.5, "fail", Reason.INVALID_REQUEST
    second.mode = "silent"
    with pytest.raises(MeshError) as caught:
        await ask(bench, stream=stream)
    assert caught.value.reason is Reason.INVALID_REQUEST
    await eventually(lambda: second.active == 0, what="the other to be let go")


@pytest.mark.parametrize("why", ["dearer", "full", "unwell"])
async def test_only_who_has_room_is_well_and_not_dearer_is_asked(bench: GatewayBench, why: str) -> None:
    """B8: where all are slow nothing is asked twice."""
    first, second = await bench.adapter("first"), await bench.adapter("second")
    other = second.target(capacity=4, taken=4 if why == "full" else 0)
    await bench.start(first.target(priority=1), other, policy=DEAR if why == "dearer" else None)
    if why == "unwell":
        first.mode = second.mode = "fail"
        first.reason = second.reason = Reason.OVERLOAD
        with pytest.raises(MeshError):
            await bench.ask()
        first.mode = second.mode = "ok"
        second.seen.clear()
    first.delay = 0.5
    assert await ask(bench, stream=False) == "first"
    assert second.seen == []


@BOTH
async def test_who_was_busy_when_it_was_planned_is_asked_once_it_is_not(
    bench: GatewayBench, *, stream: bool
) -> None:
    """B8: a plan is as old as its request, and what a backend told of its load is older."""
    first, second = await bench.adapter("first"), await bench.adapter("second")
    first.mode = "silent"
    await bench.start(first.target(priority=1), second.target(taken=40))
    asking = asyncio.create_task(ask(bench, stream=stream))
    await eventually(lambda: first.active == 1, what="the first to be asked")
    bench.control.router.show(first.target(priority=1), second.target())
    assert await asking == "second"


async def test_who_is_busy_is_asked_within_the_budget(bench: GatewayBench) -> None:
    """B8: a backend that is never idle may still stand in for a silent one, though not for all of its requests."""
    first, second = await bench.adapter("first"), await bench.adapter("second")
    first.mode = "silent"
    await bench.start(first.target(priority=1), second.target(taken=20))
    assert await ask(bench, stream=False) == "second"


@BOTH
async def test_who_is_silent_again_and_again_loses_its_turn(bench: GatewayBench, *, stream: bool) -> None:
    """B8: five times late, and others come first for a while."""
    first, _ = await two(bench)
    first.mode = "silent"
    await asyncio.gather(*(ask(bench, stream=stream) for _ in range(6)))
    asked = len(first.seen)
    assert await ask(bench, stream=stream) == "second"
    assert len(first.seen) == asked


async def test_what_is_usual_is_learnt(bench: GatewayBench) -> None:
    """B8: a model that always takes long is given the time."""
    first, second = await two(bench)
    first.delay, second.mode = 0.35, "silent"
    for _ in range(3):
        assert await ask(bench, stream=False) == "first"
    second.seen.clear()
    assert await ask(bench, stream=False) == "first"
    assert second.seen == []


async def test_who_leaves_frees_both(bench: GatewayBench) -> None:
    first, second = await two(bench)
    first.mode = second.mode = "silent"
    asking = asyncio.create_task(bench.ask_stream())
    await eventually(lambda: first.active == second.active == 1, what="both to be asked")
    asking.cancel()
    await eventually(lambda: first.active == second.active == 0, what="both to be freed")
