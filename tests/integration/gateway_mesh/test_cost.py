"""What an answer costs is told in its headers, never in its body, and counted by its usage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
import structlog
from nexus.inference.v1 import inference_pb2
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.dispatch.attempts import COMPLETE, COUNT, STREAM
from nexus_gateway.metering.metering import FIRST_MEAN
from nexus_mesh.core.errors import Reason
from nexus_mesh.rpc.client import Peer
from prometheus_client import REGISTRY
from support.gateway_bench import GatewayBench, read_all
from support.scripted_adapter import ScriptedAdapter
from support.whole_gateway import Gateway, gateway

BOTH = (model_pb2.OPERATION_CHAT, model_pb2.OPERATION_EMBEDDING)
PREFILL = [model_pb2.CAPABILITY_PREFILL]
HEADER = "x-nexus-cost-estimated"
SAID: Any = [{"role": "user", "content": "hi"}]
"""Two tokens: by the scripted adapter, and a quarter of the bytes of role and content."""


def price(*backends: str, input: float = 0, output: float = 0) -> snapshot_pb2.Price:  # noqa: A002 - the field's name
    """Of all backends when none is named."""
    return snapshot_pb2.Price(scope=snapshot_pb2.Scope(backends=backends), input=input, output=output)


@asynccontextmanager
async def serving(
    bench: GatewayBench, *prices: snapshot_pb2.Price
) -> AsyncIterator[tuple[openai.AsyncOpenAI, ScriptedAdapter, Gateway]]:
    """A whole gateway that knows one box, the official client, and the box."""
    async with gateway(bench) as served, served.client() as client:
        box = await bench.adapter("box")
        bench.control.router.show(box.target(operations=BOTH), prices=prices)
        for _ in range(500):
            if [model.id async for model in client.models.list()]:
                break
            await asyncio.sleep(0.01)
        yield client, box, served


async def whole(client: openai.AsyncOpenAI, **more: Any) -> Any:
    return await client.chat.completions.with_raw_response.create(**{"model": "m", "messages": SAID, **more})


async def streamed(client: openai.AsyncOpenAI, **more: Any) -> str:
    """The header of a stream that is read to its end."""
    answer = await whole(client, stream=True, **more)
    async for _ in answer.parse():
        pass
    return answer.headers[HEADER]


async def test_a_whole_answer_costs_what_it_has_used(bench: GatewayBench) -> None:
    async with serving(bench, price(input=2.5, output=10)) as (client, _, _):
        answer = await whole(client, max_tokens=1000)
        assert answer.headers[HEADER] == "0.000035"
        assert "cost" not in answer.http_response.text


async def test_what_nobody_has_priced_costs_nothing(bench: GatewayBench) -> None:
    async with serving(bench, price("other", input=2.5)) as (client, _, _):
        assert (await whole(client)).headers[HEADER] == "0"
        assert await streamed(client) == "0"


async def test_very_little_is_not_nothing(bench: GatewayBench) -> None:
    async with serving(bench, price(input=0.0001)) as (client, _, _):
        assert (await whole(client)).headers[HEADER] == "0.00000001"


async def test_very_much_has_no_exponent(bench: GatewayBench) -> None:
    async with serving(bench, price(output=1e6)) as (client, _, _):
        assert await streamed(client, max_tokens=131072) == "131072"


async def test_an_embedding_costs_its_prompt(bench: GatewayBench) -> None:
    async with serving(bench, price(input=3, output=0)) as (client, box, _):
        for mode, cost in (("ok", "0.000006"), ("uncounted", "0.000003")):
            box.mode = mode
            answer = await client.embeddings.with_raw_response.create(model="m", input="text")
            assert answer.headers[HEADER] == cost


async def test_a_stream_is_estimated_by_the_most_it_may_say(bench: GatewayBench) -> None:
    async with serving(bench, price(input=1, output=2)) as (client, _, _):
        assert await streamed(client, max_tokens=100) == "0.000202"
        assert await streamed(client, max_completion_tokens=50, n=1) == "0.000102"
        assert (
            await streamed(client, messages=[{"role": "user", "content": "x" * 396}], max_tokens=1)
            == "0.000102"
        )


async def test_a_stream_without_a_limit_is_estimated_by_those_before(bench: GatewayBench) -> None:
    async with serving(bench, price(output=1)) as (client, _, _):
        costs = [float(await streamed(client)) * 1e6 for _ in range(80)]
        assert costs[0] == FIRST_MEAN
        assert costs == sorted(costs, reverse=True)
        assert costs[-1] == pytest.approx(3, abs=0.2)


async def test_an_answer_without_usage_is_estimated(bench: GatewayBench) -> None:
    async with serving(bench, price(output=1)) as (client, box, _):
        box.mode = "uncounted"
        assert (await whole(client, max_tokens=7)).headers[HEADER] == "0.000007"


async def test_where_nothing_was_served_nothing_is_told(bench: GatewayBench) -> None:
    async with serving(bench, price(input=1)) as (client, box, _):
        box.mode = "fail"
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as failed:
                await whole(client, stream=stream)
            assert HEADER not in failed.value.response.headers
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="none", messages=SAID)
        assert HEADER not in unknown.value.response.headers


async def test_internal_callers_are_told_too(bench: GatewayBench) -> None:
    async with serving(bench, price(input=1, output=2)) as (_, _, served):
        peer = Peer(
            served.grpc_address, bench.ca.spiffe("gateway").server_name, bench.ca.identity("operator")
        )
        body = '{"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}'
        envelope = inference_pb2.Envelope(operation=model_pb2.OPERATION_CHAT, model="m", body=body)
        answer = await peer.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=envelope), timeout=5)
        assert answer.served.cost_dollars == pytest.approx(8e-6)
        async with peer.stream(STREAM, inference_pb2.StreamRequest(envelope=envelope), timeout=5) as call:
            first, *_ = [message async for message in call]
        assert first.served.cost_dollars == pytest.approx(22e-6)
        counted = await peer.unary(COUNT, inference_pb2.CountTokensRequest(envelope=envelope), timeout=5)
        assert not counted.served.HasField("cost_dollars")
        await peer.close()


def spent(backend: str) -> float:
    return REGISTRY.get_sample_value("nexus_cost_dollars_total", {"model": "m", "backend": backend}) or 0.0


async def test_what_was_used_is_counted_and_logged(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target(), policy={"prices": [price(input=1e6, output=1e6)]})
    before = spent("box")
    with structlog.testing.capture_logs() as logged:
        await bench.ask()
        await bench.ask_stream(body={"max_tokens": 1000})
        box.mode = "uncounted"
        await bench.ask_stream()
    assert spent("box") - before == 15, "without a usage it is settled by its chunks"
    assert [line.get("cost_dollars") for line in logged if line["event"] == "request"] == [5, 5, 5]


async def test_the_price_is_that_of_who_served(bench: GatewayBench) -> None:
    first, second = await bench.adapter("first"), await bench.adapter("second")
    first.mode, first.reason = "fail", Reason.UPSTREAM_ERROR
    prices = [price("first", input=1e6), price("second", output=1e6)]
    await bench.start(first.target(priority=1), second.target(priority=2), policy={"prices": prices})
    assert (await bench.ask()).served.cost_dollars == 3


async def test_of_a_resumed_stream_the_last_price_counts(bench: GatewayBench) -> None:
    cut, rest = await bench.adapter("cut"), await bench.adapter("rest")
    cut.mode, cut.reason, rest.mode = "content_then_fail", Reason.BACKEND_LOST, "rest"
    await bench.start(
        cut.target(priority=1, capabilities=PREFILL),
        rest.target(priority=2, capabilities=PREFILL),
        policy={"resume": ["m"], "prices": [price("cut", output=1e6), price("rest", output=2e6)]},
    )
    before = spent("cut"), spent("rest")
    async with bench.stream(body={"max_tokens": 9}) as stream:
        first = await anext(stream)
        await read_all(stream)
    assert first.served.cost_dollars == 9
    assert (spent("cut") - before[0], spent("rest") - before[1]) == (0, 6)


async def test_a_dearer_place_is_taken_before_anybody_waits(bench: GatewayBench) -> None:
    cheap, dear = await bench.adapter("cheap"), await bench.adapter("dear")
    cheap.mode = "stall"
    await bench.start(
        cheap.target(capacity=1), dear.target(capacity=1), policy={"prices": [price("dear", input=1)]}
    )
    async with bench.stream() as messages:
        assert (await anext(messages)).served.backend == "cheap"
        served = (await bench.ask()).served
    assert (served.backend, served.route_reason) == ("dear", inference_pb2.ROUTE_REASON_CAPACITY_OVERFLOW)


async def test_a_count_that_was_made_anyway_is_used(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.counts = 77
    await bench.start(box.target(context=100), policy={"prices": [price(input=1e6)]})
    body = {"messages": [{"role": "user", "content": "x" * 300}]}
    async with bench.stream(body=body) as stream:
        assert (await anext(stream)).served.cost_dollars == 77


async def test_of_a_hedged_request_the_price_of_the_answer_counts(bench: GatewayBench) -> None:
    late, quick = await bench.adapter("late"), await bench.adapter("quick")
    late.mode = "held"
    prices = [price("late", output=1e6), price("quick", output=2e6)]
    policy = {"hedge": {"m": 0.05}, "prices": prices}
    await bench.start(late.target(priority=1), quick.target(priority=2), policy=policy)
    before = spent("late"), spent("quick")
    served = (await bench.ask()).served
    assert (served.backend, served.cost_dollars) == ("quick", 6)
    assert (spent("late") - before[0], spent("quick") - before[1]) == (0, 6)
