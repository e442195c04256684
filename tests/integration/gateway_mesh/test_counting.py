"""A prompt that may not fit is counted where it is to go, once, before anybody is asked to run it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2, inference_pb2_grpc
from nexus.registry.v1 import instance_pb2
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.access import Members
from nexus_gateway.access.accounts import ANONYMOUS
from nexus_gateway.dispatch.attempts import COUNT
from nexus_gateway.http.options import Limits
from nexus_gateway.routes import open_intake
from nexus_gateway.service import InferenceServicer
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.client import Peer
from nexus_mesh.rpc.server import Servicer, start_server
from support.gateway_bench import GatewayBench, chat
from support.scripted_adapter import ScriptedAdapter

FALLBACKS = {"fallbacks": {"small": snapshot_pb2.Fallbacks(models=["medium", "wide"])}}
LONG = {"messages": [{"role": "user", "content": "x" * 9000}]}
DOWN = instance_pb2.STATE_UNHEALTHY


async def boxes(bench: GatewayBench, **contexts: int) -> list[ScriptedAdapter]:
    """An adapter for each model, with the context given; each stands in for those named before it."""
    found = [await bench.adapter(model) for model in contexts]
    targets = [box.target(box.name, context=contexts[box.name]) for box in found]
    await bench.start(*targets, policy=FALLBACKS)
    return found


async def test_what_is_too_long_goes_to_a_larger_context_at_once(bench: GatewayBench) -> None:
    small, medium, wide = await boxes(bench, small=1000, medium=2000, wide=4000)
    small.counts = 3000
    served = (await bench.ask(model="small", body=LONG)).served
    assert (served.backend, served.fallback_model, served.attempts) == ("wide", "wide", 1)
    assert served.route_reason == inference_pb2.ROUTE_REASON_FAILOVER
    assert await bench.ask_stream(model="small", body=LONG) == "one two three"
    assert (small.seen, medium.seen, len(wide.seen)) == ([], [], 2)
    assert [len(box.counted) for box in (small, medium, wide)] == [2, 0, 0], "once for each request"
    assert json.loads(small.counted[0].body)["messages"] == LONG["messages"]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_too_long_everywhere_is_refused_and_nobody_asked(
    bench: GatewayBench, stream: bool
) -> None:
    found = await boxes(bench, small=1000, medium=2000)
    found[0].counts = 2000  # leaves no room for an answer
    with pytest.raises(MeshError) as caught:
        await (bench.ask_stream if stream else bench.ask)(model="small", body=LONG)
    assert caught.value.reason is Reason.CONTEXT_LENGTH
    assert caught.value.message.startswith(
        "This model's maximum context length is 1000 tokens. However, your messages resulted in 2000 tokens. "
        "Please reduce the length of the messages."
    )
    assert caught.value.metadata["param"] == "messages"
    assert [box.seen for box in found] == [[], []]


@pytest.mark.parametrize(("counts", "estimates"), [(3000, True), (999, False)])
async def test_an_estimate_refuses_nothing_and_what_fits_is_run(
    bench: GatewayBench, counts: int, estimates: bool
) -> None:
    [small] = await boxes(bench, small=1000)
    small.counts, small.estimates = counts, estimates
    assert (await bench.ask(model="small", body=LONG)).served.backend == "small"
    small.mode, small.reason = "fail", Reason.CONTEXT_LENGTH
    for ask in (bench.ask, bench.ask_stream):
        with pytest.raises(MeshError) as caught:
            await ask(model="small", body=LONG)
        assert caught.value.reason is Reason.CONTEXT_LENGTH
        assert caught.value.message == (
            "This model's maximum context length is 1000 tokens. However, your messages resulted in more tokens. "
            "Please reduce the length of the messages."
        )
        assert caught.value.metadata["param"] == "messages"
    assert len(small.seen) == 3


@pytest.mark.parametrize("counts", [None, Reason.UPSTREAM_ERROR, Reason.MODEL_NOT_FOUND, Reason.INTERNAL])
async def test_without_a_count_the_request_goes_on_as_before(
    bench: GatewayBench, counts: Reason | None
) -> None:
    small, medium = await boxes(bench, small=1000, medium=2000)
    small.counts = counts
    served = (await bench.ask(model="small", body=LONG)).served
    assert (served.backend, served.attempts, medium.counted) == ("small", 1, [])
    assert served.route_reason == inference_pb2.ROUTE_REASON_CAPABILITY_MATCH


@pytest.mark.parametrize("context", [0, 4500, 10_000])
async def test_nobody_counts_what_fits_anyway(bench: GatewayBench, context: int) -> None:
    [small] = await boxes(bench, small=context)
    body = {"messages": [{"role": "user", "content": "x" * 8900}]}
    await bench.ask(model="small", body=body)
    assert (small.counted, len(small.seen)) == ([], 1)


async def test_a_prompt_is_counted_by_who_would_run_it_and_else_by_the_next(bench: GatewayBench) -> None:
    first, second = await bench.adapter("first"), await bench.adapter("second")
    await bench.start(first.target(priority=1), second.target(priority=2))
    counted = await bench.pipeline.count(chat())
    assert (counted.prompt_tokens, counted.estimated, counted.method) == (2, False, "scripted")
    assert (counted.served.backend, counted.served.kind, counted.served.attempts) == ("first", "scripted", 1)
    first.counts = Reason.UPSTREAM_ERROR
    assert (await bench.pipeline.count(chat())).served.backend == "second"
    assert first.seen == second.seen == []


async def test_counting_is_bound_by_zones_as_running_is(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target(), policy={"zones": {"m": "restricted"}})
    with pytest.raises(MeshError) as caught:
        await bench.pipeline.count(chat())
    assert (caught.value.reason, box.counted) == (Reason.PRIVACY_ZONE, [])


async def test_what_is_too_long_inside_a_zone_does_not_leave_it_for_more_room(bench: GatewayBench) -> None:
    """Though policy lets it out, scrubbed, when nobody inside offers the model."""
    inside = await bench.adapter("inside", zone="restricted")
    outside = await bench.adapter("outside", zone="open")
    near, far = inside.target(context=1000), outside.target(context=9000)
    await bench.start(near, far, policy={"zones": {"m": "restricted"}, "crossing": {"restricted": "scrub"}})
    inside.counts = 3000
    with pytest.raises(MeshError) as caught:
        await bench.ask(body=LONG)
    assert caught.value.reason is Reason.CONTEXT_LENGTH
    assert (inside.seen, len(inside.counted), outside.reached) == ([], 1, 0)


async def test_a_count_too_large_for_its_model_is_told_and_not_refused(bench: GatewayBench) -> None:
    [small] = await boxes(bench, small=1000)
    small.counts = 3000
    assert (await bench.pipeline.count(chat(model="small", body=LONG))).prompt_tokens == 3000


async def test_where_nobody_is_up_nobody_counts(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target(state=DOWN))
    with pytest.raises(MeshError) as caught:
        await bench.pipeline.count(chat())
    assert (caught.value.reason, box.counted) == (Reason.BACKEND_DOWN, [])


async def test_explained_with_a_count_the_small_context_is_refused(bench: GatewayBench) -> None:
    await boxes(bench, small=1000, medium=2000)
    asked = chat(model="small", body=LONG, principal=ANONYMOUS)
    told = await bench.pipeline.explain(asked)
    assert [each.rank for each in told.verdicts if each.rank] == [1, 2]
    verdicts = (await bench.pipeline.explain(asked, 1500)).verdicts
    fates = {(each.target.backend, each.model): (each.rank, each.stage) for each in verdicts}
    assert fates["medium", "medium"] == (1, "")
    assert fates["small", "small"] == (0, "context")


async def test_members_of_the_mesh_may_have_their_prompts_counted(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target())
    identity = bench.ca.identity("gateway")
    servicer = Servicer(
        InferenceServicer(bench.pipeline, open_intake(Limits()), Members(), Limits().upload_bytes),
        inference_pb2_grpc.add_InferenceServiceServicer_to_server,
    )
    server = await start_server([servicer], host="127.0.0.1", port=0, identity=identity, denied=set())
    peer = Peer(f"127.0.0.1:{server.port}", identity.spiffe.server_name, bench.ca.identity("operator"))
    try:
        answer = await peer.unary(
            COUNT, _envelope({"messages": [{"role": "user", "content": "hi"}]}), timeout=5
        )
        assert (answer.prompt_tokens, answer.served.backend) == (2, "box")
        with pytest.raises(MeshError) as caught:
            await peer.unary(COUNT, _envelope({"messages": []}), timeout=5)
        assert caught.value.reason is Reason.INVALID_REQUEST
    finally:
        await peer.close()
        await server.drain(settle=0, grace=0)


async def test_bodies_of_members_have_the_same_budget(bench: GatewayBench) -> None:
    """A5: the door of the mesh too."""
    box = await bench.adapter("box")
    await bench.start(box.target())
    intake = open_intake(Limits(bodies_bytes=100_000, body_wait_seconds=0))
    identity = bench.ca.identity("gateway")
    servicer = Servicer(
        InferenceServicer(bench.pipeline, intake, Members(), Limits().upload_bytes),
        inference_pb2_grpc.add_InferenceServiceServicer_to_server,
    )
    server = await start_server([servicer], host="127.0.0.1", port=0, identity=identity, denied=set())
    peer = Peer(f"127.0.0.1:{server.port}", identity.spiffe.server_name, bench.ca.identity("operator"))
    try:
        large = _envelope({"messages": [{"role": "user", "content": "x" * 60_000}]})
        with pytest.raises(MeshError) as caught:
            await peer.unary(COUNT, large, timeout=5)
        assert caught.value.reason is Reason.OVERLOAD
        small = _envelope({"messages": [{"role": "user", "content": "x" * 6_000}]})
        assert (await peer.unary(COUNT, small, timeout=5)).served.backend == "box"
        assert intake.bodies.used == 0
    finally:
        await peer.close()
        await server.drain(settle=0, grace=0)


def _envelope(body: dict[str, Any]) -> inference_pb2.CountTokensRequest:
    envelope = inference_pb2.Envelope(
        operation=model_pb2.OPERATION_CHAT, model="m", body=json.dumps({"model": "m", **body})
    )
    return inference_pb2.CountTokensRequest(envelope=envelope)
