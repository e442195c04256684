"""Prompts of many megabytes on their way to an adapter: sent from the one copy there is, as often as it takes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from nexus_gateway.core.request import InferenceRequest
from nexus_mesh.core.errors import Reason
from support.gateway_bench import GatewayBench, chat, read_all
from support.scripted_adapter import ScriptedAdapter

TEXT = "größer\n" * 500_000
Ask = Callable[[GatewayBench, InferenceRequest], Awaitable[None]]


def large() -> InferenceRequest:
    request = chat(body={"messages": [{"role": "user", "content": TEXT}]}, size=4_000_000)
    request.pack()
    return request


async def whole(bench: GatewayBench, request: InferenceRequest) -> None:
    answer = await bench.pipeline.complete(request)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "one two three"


async def streamed(bench: GatewayBench, request: InferenceRequest) -> None:
    request.stream = True
    async with bench.pipeline.stream(request) as messages:
        assert await read_all(messages) == "one two three"


def assert_arrived(box: ScriptedAdapter, model: str) -> None:
    (envelope,) = box.seen
    assert (envelope.model, envelope.backend) == (model, box.name)
    assert json.loads(envelope.body) == {"model": model, "messages": [{"role": "user", "content": TEXT}]}


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_it_arrives_whole(bench: GatewayBench, ask: Ask) -> None:
    """A5."""
    box = await bench.adapter("box")
    await bench.start(box.target("llama:70b"), policy={"aliases": {"m": "llama:70b"}})
    await ask(bench, large())
    assert_arrived(box, "llama:70b")


@pytest.mark.parametrize("ask", [whole, streamed])
@pytest.mark.parametrize("reason", [Reason.UPSTREAM_ERROR, Reason.BACKEND_DOWN])
async def test_it_goes_to_the_next_when_the_first_fails(
    bench: GatewayBench, ask: Ask, reason: Reason
) -> None:
    """A5: what was let go of for one attempt is there for another."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.reason = "fail", reason
    await bench.start(bad.target(priority=1), good.target())
    await ask(bench, large())
    assert_arrived(bad, "m")
    assert_arrived(good, "m")


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_an_adapter_that_is_gone_is_passed_over(bench: GatewayBench, ask: Ask) -> None:
    gone, good = await bench.adapter("gone"), await bench.adapter("good")
    await bench.start(gone.target(priority=1), good.target())
    await gone.server.drain(settle=0, grace=0)
    await ask(bench, large())
    assert_arrived(good, "m")
