"""Whole answers: who gets the request, what travels, and what happens when an attempt fails."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from nexus.registry.v1 import instance_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_routing import Capability
from support.gateway_bench import GatewayBench, chat
from support.waiting import eventually

ACTIVE = instance_pb2.STATE_ACTIVE


async def test_answer_names_who_served_and_body_names_the_model_itself(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target("llama:70b"), policy={"aliases": {"gpt-4o": "llama:70b"}})
    answer = await bench.ask(model="gpt-4o")
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "one two three"
    assert (answer.served.model, answer.served.backend) == ("llama:70b", "box")
    assert answer.served.instance == "n1/adapter/box"
    assert answer.usage.completion_tokens == 3
    (envelope,) = box.seen
    assert (envelope.model, envelope.backend, envelope.request_id) == ("llama:70b", "box", "req_test")
    assert json.loads(envelope.body)["model"] == "llama:70b"


async def test_requests_spread_over_equals_while_they_run(bench: GatewayBench) -> None:
    boxes = [await bench.adapter(name) for name in ("a", "b", "c")]
    for box in boxes:
        box.delay = 0.2
    await bench.start(*(box.target() for box in boxes))
    await asyncio.gather(*(bench.ask() for _ in range(30)))
    assert [len(box.seen) for box in boxes] == [10, 10, 10]


async def test_priority_beats_idleness(bench: GatewayBench) -> None:
    first, second = await bench.adapter("first"), await bench.adapter("second")
    await bench.start(second.target(priority=20), first.target(priority=10))
    await asyncio.gather(*(bench.ask() for _ in range(10)))
    assert (len(first.seen), len(second.seen)) == (10, 0)


@pytest.mark.parametrize(
    "reason",
    [Reason.BACKEND_DOWN, Reason.OVERLOAD, Reason.MODEL_NOT_READY, Reason.DRAINING, Reason.UPSTREAM_ERROR],
)
async def test_failure_that_another_backend_may_cure_is_retried_there(
    bench: GatewayBench, reason: Reason
) -> None:
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.reason = "fail", reason
    await bench.start(bad.target(priority=1), good.target())
    assert (await bench.ask()).served.backend == "good"
    assert (len(bad.seen), len(good.seen)) == (1, 1)


@pytest.mark.parametrize("reason", [Reason.INVALID_REQUEST, Reason.CONTEXT_LENGTH, Reason.INTERNAL])
async def test_failure_nothing_can_cure_is_told_at_once(bench: GatewayBench, reason: Reason) -> None:
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.reason = "fail", reason
    await bench.start(bad.target(priority=1), good.target())
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert (caught.value.reason, len(good.seen)) == (reason, 0)


async def test_a_backend_s_own_time_limit_is_not_the_request_s(bench: GatewayBench) -> None:
    """B8: another one may be quicker; our own limit is over there too."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.reason, bad.metadata = "fail", Reason.TIMEOUT, {"upstream_status": "504"}
    await bench.start(bad.target(priority=1), good.target())
    assert (await bench.ask()).served.backend == "good"
    bad.metadata = {}
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert caught.value.reason is Reason.TIMEOUT


async def test_at_most_two_retries(bench: GatewayBench) -> None:
    boxes = [await bench.adapter(name) for name in ("a", "b", "c", "d")]
    for box in boxes:
        box.mode, box.reason = "fail", Reason.OVERLOAD
    await bench.start(*(box.target() for box in boxes))
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert caught.value.reason is Reason.OVERLOAD
    assert sum(len(box.seen) for box in boxes) == 3


async def test_retries_stay_within_a_fifth_of_the_requests(bench: GatewayBench) -> None:
    boxes = [await bench.adapter(name) for name in ("a", "b", "c")]
    for box in boxes:
        box.mode, box.reason = "fail", Reason.OVERLOAD
    await bench.start(*(box.target() for box in boxes))
    results = await asyncio.gather(*(bench.ask() for _ in range(100)), return_exceptions=True)
    assert Counter(type(result) for result in results) == {MeshError: 100}
    assert 103 <= sum(len(box.seen) for box in boxes) <= 120


async def test_total_time_is_over(bench: GatewayBench) -> None:
    slow, other = await bench.adapter("slow"), await bench.adapter("other")
    slow.mode = other.mode = "silent"
    await bench.start(slow.target(priority=1), other.target(), models={"m": {"timeouts": {"total": 0.4}}})
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert caught.value.reason is Reason.TIMEOUT
    assert "0.4 s" in caught.value.message
    await eventually(lambda: slow.active == other.active == 0, 1.0, "the adapters to be freed")


async def test_who_is_late_by_a_short_total_time_is_not_waited_for(bench: GatewayBench) -> None:
    """B8: a third of the whole time is left for somebody else, and more."""
    slow, other = await bench.adapter("slow"), await bench.adapter("other")
    slow.mode = "silent"
    await bench.start(slow.target(priority=1), other.target(), models={"m": {"timeouts": {"total": 0.9}}})
    assert (await bench.ask()).served.backend == "other"
    assert await bench.ask_stream() == "one two three"


async def test_caller_who_leaves_frees_the_adapter(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.mode = "silent"
    await bench.start(box.target())
    asking = asyncio.create_task(bench.ask())
    await eventually(lambda: box.active == 1, what="the request to arrive")
    asking.cancel()
    await eventually(lambda: box.active == 0, 1.0, "the adapter to be freed")
    assert box.cancelled == 1
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_before_the_first_snapshot(bench: GatewayBench) -> None:
    await bench.start()
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert caught.value.reason is Reason.NOT_READY


@pytest.mark.parametrize(
    ("asked", "state", "reason", "param", "words"),
    [
        (chat("lama"), ACTIVE, Reason.MODEL_NOT_FOUND, "model", "Did you mean 'llama'"),
        (
            chat("llama", needs=frozenset({Capability.CHOICES})),
            2,
            Reason.UNSUPPORTED_PARAMETER,
            "n",
            "lacks choices",
        ),
        (
            chat("llama", needs=frozenset({Capability.VISION})),
            2,
            Reason.CAPABILITY_MISSING,
            "messages",
            "images",
        ),
        (
            chat("llama"),
            instance_pb2.STATE_UNHEALTHY,
            Reason.BACKEND_DOWN,
            None,
            "unhealthy: the test says so",
        ),
        (
            chat("llama"),
            instance_pb2.STATE_STARTING,
            Reason.MODEL_NOT_READY,
            None,
            "starting: the test says so",
        ),
    ],
)
async def test_what_cannot_be_served_is_explained(
    bench: GatewayBench,
    asked: object,
    state: instance_pb2.State,
    reason: Reason,
    param: str | None,
    words: str,
) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target("llama", state=state))
    with pytest.raises(MeshError) as caught:
        await bench.pipeline.complete(asked)  # type: ignore[arg-type]
    assert (caught.value.reason, caught.value.metadata.get("param")) == (reason, param)
    assert words in caught.value.message
    assert box.seen == []
