"""A cut stream is gone on with only at the same model, only where policy allows it, and never twice in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core.errors import MeshError, Reason
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter, text_of
from support.waiting import eventually

PREFILL = [model_pb2.CAPABILITY_PREFILL]
RESUME = {"resume": ["m*"]}


async def cut_and_rest(
    bench: GatewayBench, policy: dict[str, Any], model: str = "m"
) -> list[ScriptedAdapter]:
    """One box that is cut after the first word, and one that knows the rest."""
    cut, rest = await bench.adapter("cut"), await bench.adapter("rest")
    cut.mode, cut.reason, rest.mode = "content_then_fail", Reason.BACKEND_LOST, "rest"
    await bench.start(
        cut.target(priority=1, capabilities=PREFILL),
        rest.target(model, priority=2, capabilities=PREFILL),
        policy=policy,
    )
    return [cut, rest]


async def everything(
    messages: AsyncIterator[inference_pb2.StreamResponse],
) -> list[inference_pb2.StreamResponse]:
    return [message async for message in messages]


async def told(bench: GatewayBench, body: dict[str, Any]) -> tuple[str, MeshError]:
    """The text and the error of a stream that fails."""
    text = ""
    try:
        async with bench.stream(body=body) as stream:
            async for message in stream:
                text += text_of(message)
    except MeshError as error:
        return text, error
    raise AssertionError("the stream ended well")


async def test_the_rest_follows_what_was_sent_and_says_so(bench: GatewayBench) -> None:
    _, rest = await cut_and_rest(bench, RESUME)
    async with bench.stream(body={"max_tokens": 50}) as stream:
        messages = await everything(stream)
    assert "".join(map(text_of, messages)) == "one two three"
    assert [message.progress.phase for message in messages if message.HasField("progress")] == ["resumed"]
    usage = messages[-1].finish.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (2, 3)
    (envelope,) = rest.seen
    body = json.loads(envelope.body)
    assert envelope.continues
    assert body["messages"][-1] == {"role": "assistant", "content": "one "}
    assert body["max_tokens"] == 49


@pytest.mark.parametrize("why", ["policy", "model", "tools"])
async def test_otherwise_the_error_is_told(bench: GatewayBench, why: str) -> None:
    policy = {} if why == "policy" else RESUME
    _, rest = await cut_and_rest(bench, policy, "other" if why == "model" else "m")
    body = {"tools": [{"type": "function", "function": {"name": "f"}}]} if why == "tools" else {}
    text, error = await told(bench, body)
    assert (text, error.reason) == ("one ", Reason.BACKEND_LOST)
    assert rest.seen == []


@pytest.mark.parametrize("mode", ["ok", "other"])
async def test_a_backend_of_unknown_make_answers_again_and_what_was_sent_is_not_sent_twice(
    bench: GatewayBench, mode: str
) -> None:
    """B5: in whatever pieces the text comes again."""
    cut, again = await bench.adapter("cut"), await bench.adapter("again")
    cut.mode, cut.reason, again.mode = "content_then_fail", Reason.BACKEND_LOST, mode
    await bench.start(cut.target(priority=1), again.target(priority=2), policy=RESUME)
    async with bench.stream(body={"max_tokens": 50, "stop": ["x"]}) as stream:
        messages = await everything(stream)
    assert "".join(map(text_of, messages)) == "one two three"
    assert [message.progress.phase for message in messages if message.HasField("progress")] == ["resumed"]
    usage = messages[-1].finish.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (2, 3)
    (envelope,) = again.seen
    body = json.loads(envelope.body)
    assert not envelope.continues
    assert (body["messages"], body["max_tokens"]) == ([{"role": "user", "content": "hi"}], 50)


@pytest.mark.parametrize("mode", ["rest", "short", "fail"])
async def test_a_fresh_answer_that_begins_otherwise_is_none(bench: GatewayBench, mode: str) -> None:
    """B5: another text, one that ends sooner, or none at all: the honest error, and nothing of it."""
    cut, again = await bench.adapter("cut"), await bench.adapter("again")
    cut.mode, cut.reason, again.mode = "content_then_fail", Reason.BACKEND_LOST, mode
    await bench.start(cut.target(priority=1), again.target(priority=2), policy=RESUME)
    text, error = await told(bench, {})
    assert (text, error.reason) == ("one ", Reason.BACKEND_LOST)
    assert len(again.seen) == 1
    await eventually(lambda: again.active == 0, what="the fresh answer to be let go")


async def test_who_refuses_to_go_on_is_asked_to_answer_again(bench: GatewayBench) -> None:
    """B5: a prefill that was announced and is refused."""
    _, rest = await cut_and_rest(bench, RESUME)
    rest.mode = "no_prefill"
    async with bench.stream() as stream:
        messages = await everything(stream)
    assert "".join(map(text_of, messages)) == "one two three"
    assert [envelope.continues for envelope in rest.seen] == [True, False]


async def test_an_answer_is_gone_on_with_twice_at_most(bench: GatewayBench) -> None:
    boxes = [await bench.adapter(f"box{number}") for number in range(4)]
    for box in boxes:
        box.mode, box.reason = "content_then_fail", Reason.BACKEND_LOST
    await bench.start(*(box.target(capabilities=PREFILL) for box in boxes), policy=RESUME)
    text, _ = await told(bench, {})
    assert text == "one one one "
    assert sum(len(box.seen) for box in boxes) == 3
    assert all(box.active == 0 for box in boxes)


async def test_many_that_are_cut_at_once_are_all_gone_on_with(bench: GatewayBench) -> None:
    """B3, B5: going on is no storm where somebody is well and has room."""
    cut, again = await bench.adapter("cut"), await bench.adapter("again")
    cut.mode, cut.reason = "content_then_fail", Reason.BACKEND_LOST
    cut.delay = again.delay = 0.3
    await bench.start(cut.target(priority=1), again.target(priority=2), policy=RESUME)
    assert await bench.ask_stream() == "one two three"
    texts = await asyncio.gather(*(bench.ask_stream() for _ in range(40)), return_exceptions=True)
    assert texts == ["one two three"] * 40
    assert len(cut.seen) == 41
