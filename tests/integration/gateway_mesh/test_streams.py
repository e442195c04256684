"""Streams: held back until there is content, retried until then, never ending without an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus.router.v1 import snapshot_pb2
from nexus_mesh.core.errors import MeshError, Reason
from support.gateway_bench import GatewayBench, chat, read_all
from support.scripted_adapter import text_of
from support.waiting import eventually

LIMITS: dict[str, Any] = {"connect": 1, "first_token": 0.4, "stall": 0.3, "total": 5}


async def reason_of(bench: GatewayBench) -> tuple[Reason, str]:
    """Why a stream failed, and the text that came before."""
    text = ""
    try:
        async with bench.pipeline.stream(chat(stream=True)) as messages:
            async for message in messages:
                text += text_of(message)
    except MeshError as error:
        return error.reason, text
    raise AssertionError("the stream ended well")


async def test_good_stream_has_everything_in_order(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target())
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        received = [message async for message in messages]
    assert [message.WhichOneof("event") for message in received] == ["chunks"] * 5 + ["finish"]
    assert "".join(map(text_of, received)) == "one two three"
    assert [message.served.backend for message in received] == ["box", "", "", "", "", ""]
    assert received[-1].finish.usage.completion_tokens == 3
    await eventually(lambda: box.active == 0, what="the adapter to finish")
    assert box.cancelled == 0


@pytest.mark.parametrize("mode", ["fail", "role_then_fail", "garbage"])
async def test_failure_before_content_is_retried_elsewhere(bench: GatewayBench, mode: str) -> None:
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode = mode
    await bench.start(bad.target(priority=1), good.target())
    assert await bench.ask_stream() == "one two three"
    assert (len(bad.seen), len(good.seen)) == (1, 1)


async def test_failure_before_content_with_nobody_left_is_raised_on_entering(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.mode, box.reason = "role_then_fail", Reason.OVERLOAD
    await bench.start(box.target())
    with pytest.raises(MeshError) as caught:
        async with bench.pipeline.stream(chat(stream=True)):
            raise AssertionError("entered")
    assert caught.value.reason is Reason.OVERLOAD


async def test_failure_after_content_is_never_retried(bench: GatewayBench) -> None:
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.reason = "content_then_fail", Reason.BACKEND_LOST
    await bench.start(bad.target(priority=1), good.target())
    assert await reason_of(bench) == (Reason.BACKEND_LOST, "one ")
    assert good.seen == []


async def test_stream_without_finish_is_no_answer(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.mode = "unfinished"
    await bench.start(box.target())
    assert await reason_of(bench) == (Reason.UPSTREAM_MALFORMED, "one ")


@pytest.mark.parametrize(
    ("mode", "reason", "text"),
    [("silent", Reason.STREAM_IDLE_TIMEOUT, ""), ("stall", Reason.STREAM_IDLE_TIMEOUT, "one ")],
)
async def test_silence_has_a_limit(bench: GatewayBench, mode: str, reason: Reason, text: str) -> None:
    box = await bench.adapter("box")
    box.mode = mode
    await bench.start(box.target(), timeouts=LIMITS)
    assert await reason_of(bench) == (reason, text)
    await eventually(lambda: box.active == 0, 1.0, "the adapter to be freed")


async def test_a_silent_backend_is_left_for_another(bench: GatewayBench) -> None:
    silent, good = await bench.adapter("silent"), await bench.adapter("good")
    silent.mode = "silent"
    await bench.start(silent.target(priority=1), good.target(), timeouts=LIMITS)
    assert await bench.ask_stream() == "one two three"
    assert len(silent.seen) == 1


async def test_progress_is_no_silence(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.mode = "progress"
    await bench.start(box.target(), timeouts=LIMITS)
    assert await bench.ask_stream() == "one two three"


async def test_a_model_may_have_its_own_limits(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.delay = 0.8
    await bench.start(
        box.target("m", "slow"), timeouts=LIMITS, models={"slow": {"timeouts": {"first_token": 5}}}
    )
    assert await bench.ask_stream(model="slow") == "one two three"
    assert (await reason_of(bench))[0] is Reason.STREAM_IDLE_TIMEOUT


async def test_a_client_that_reads_slowly_is_not_the_backends_silence(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target(), timeouts=LIMITS)
    text = ""
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        async for message in messages:
            text += text_of(message)
            await asyncio.sleep(0.35)
    assert text == "one two three"


async def test_total_time_ends_a_stream(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.mode = "stall"
    await bench.start(box.target(), timeouts={**LIMITS, "stall": 30, "total": 0.5})
    assert await reason_of(bench) == (Reason.TIMEOUT, "one ")


async def test_after_long_silence_the_stream_is_handed_over_without_content(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.delay = 0.6
    await bench.start(box.target(), commit_after=0.1)
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        first = await anext(messages)
        assert box.active == 1
        assert (first.progress.phase, first.served.backend, first.served.model) == ("waiting", "box", "m")
        assert await read_all(messages) == "one two three"


async def test_once_handed_over_without_content_a_failure_still_goes_to_another(bench: GatewayBench) -> None:
    """B4: as a whole answer does. Who answers is told with the first content, for nobody knew it before."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.delay = "fail", 0.4
    await bench.start(bad.target(priority=1), good.target(), commit_after=0.1)
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        first, *rest = [message async for message in messages]
    assert (first.progress.phase, first.HasField("served")) == ("waiting", False)
    assert [message.served.backend for message in rest if message.HasField("served")] == ["good"]
    assert "".join(map(text_of, rest)) == "one two three"


@pytest.mark.parametrize("mode", ["fail", "role_then_fail"])
async def test_a_prompt_too_long_goes_to_a_larger_model_in_a_stream_too(
    bench: GatewayBench, mode: str
) -> None:
    """B4: streams and whole answers walk the same plan, whatever else was tried again lately."""
    small, large = await bench.adapter("small"), await bench.adapter("large")
    small.mode, small.reason = mode, Reason.CONTEXT_LENGTH
    fallbacks = {"m": snapshot_pb2.Fallbacks(models=["big"])}
    await bench.start(
        small.target(context=4096), large.target("big", context=32768), policy={"fallbacks": fallbacks}
    )
    for _ in range(30):
        assert (await bench.ask()).served.model == "big"
        assert await bench.ask_stream() == "one two three"
    assert len(large.seen) == 60


@pytest.mark.parametrize("mode", ["silent", "stall"])
async def test_client_who_leaves_frees_the_adapter(bench: GatewayBench, mode: str) -> None:
    box = await bench.adapter("box")
    box.mode = mode
    await bench.start(box.target(), commit_after=0.1)
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        await anext(messages)
    await eventually(lambda: box.active == 0, 1.0, "the adapter to be freed")
    assert box.cancelled == 1


async def test_client_who_leaves_before_the_first_content_frees_the_adapter(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.mode = "silent"
    await bench.start(box.target())
    asking = asyncio.create_task(bench.ask_stream())
    await eventually(lambda: box.active == 1, what="the request to arrive")
    asking.cancel()
    await eventually(lambda: box.active == 0, 1.0, "the adapter to be freed")
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_five_hundred_streams_at_once(bench: GatewayBench) -> None:
    boxes = [await bench.adapter(name) for name in ("a", "b")]
    await bench.start(*(box.target() for box in boxes))
    texts = await asyncio.gather(*(bench.ask_stream() for _ in range(500)))
    assert set(texts) == {"one two three"}
    assert abs(len(boxes[0].seen) - len(boxes[1].seen)) <= 50


async def test_served_says_who_answered_where_and_why(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target())
    assert (await bench.ask()).served == inference_pb2.Served(
        model="m",
        backend="box",
        instance="n1/adapter/box",
        kind=box.target().kind,
        zone=box.target().zone,
        attempts=1,
        route_reason=inference_pb2.ROUTE_REASON_CAPABILITY_MATCH,
        cost_dollars=0,
    )
