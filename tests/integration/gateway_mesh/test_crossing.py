"""Leaving a zone: only what policy names, only scrubbed, and the answer says so."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import keys_pb2, tenants_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.dialects.own_headers import served_headers
from nexus_gateway.validation.parse import parse_request
from nexus_mesh.core.errors import MeshError, Reason
from prometheus_client import REGISTRY
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually

ANN = "ann@example.com"
TEXT = f"Write to {ANN} or +49 170 1234567, not to {ANN}."
CLEAN = "Write to <EMAIL_1> or <PHONE_1>, not to <EMAIL_1>."
CHAT = {"model": "m", "messages": [{"role": "user", "content": TEXT}]}
SHAPES: dict[model_pb2.Operation, dict[str, Any]] = {
    model_pb2.OPERATION_CHAT: CHAT,
    model_pb2.OPERATION_COMPLETION: {"model": "m", "prompt": TEXT},
    model_pb2.OPERATION_EMBEDDING: {"model": "m", "input": [TEXT]},
}
KEYED, TENANTED, FREE = "nx_key", "nx_tenant", "nx_free"
SCRUB = {"restricted": "scrub"}


@pytest.fixture
async def outside(bench: GatewayBench) -> ScriptedAdapter:
    """The only backend, in the default zone; keys of a restricted tenant, with a restricted zone, and of nobody."""
    vault = bench.control.vault
    vault.tenants["clinic"] = tenants_pb2.Tenant(id="t1", name="clinic", zone="restricted", weight=1)
    vault.tenants["default"] = tenants_pb2.Tenant(id="default", name="default", weight=1)
    vault.keys[KEYED] = keys_pb2.Key(id="k1", name="k1", tenant="default", zone="restricted")
    vault.keys[TENANTED] = keys_pb2.Key(id="k2", name="k2", tenant="clinic")
    vault.keys[FREE] = keys_pb2.Key(id="k3", name="k3", tenant="default")
    return await bench.adapter("box")


def offer(box: ScriptedAdapter, *models: str, **more: Any) -> snapshot_pb2.Target:
    target = box.target(*models, **more)
    for model in target.models:
        model.operations[:] = list(SHAPES)
        model.capabilities[:] = [model_pb2.CAPABILITY_VISION, model_pb2.CAPABILITY_TOKEN_INPUT]
    return target


async def start(bench: GatewayBench, *targets: snapshot_pb2.Target, **policy: Any) -> None:
    await bench.start(auth="keys")
    bench.control.router.show(*targets, **policy)
    await eventually(lambda: bench.pipeline.table.snapshot is not None, what="the snapshot")


async def ask(
    bench: GatewayBench,
    body: dict[str, Any] = CHAT,
    *,
    operation: int = model_pb2.OPERATION_CHAT,
    key: str = FREE,
    zone: str | None = None,
) -> inference_pb2.Served:
    principal = await bench.pipeline.authenticate(key)
    request = parse_request(operation, json.dumps(body).encode(), request_id="req_test", principal=principal)
    request.zone = zone
    return (await bench.pipeline.complete(request)).served


async def blocked(bench: GatewayBench, *arguments: Any, **how: Any) -> str:
    with pytest.raises(MeshError) as refused:
        await ask(bench, *arguments, **how)
    assert refused.value.reason is Reason.PRIVACY_ZONE
    return refused.value.message


@pytest.mark.parametrize("operation", SHAPES)
@pytest.mark.parametrize("key", [KEYED, TENANTED])
async def test_what_leaves_is_scrubbed_and_told(
    bench: GatewayBench, outside: ScriptedAdapter, key: str, operation: model_pb2.Operation
) -> None:
    await start(bench, offer(outside), crossing=SCRUB)
    served = await ask(bench, SHAPES[operation], operation=operation, key=key)
    (seen,) = outside.seen
    assert CLEAN in seen.body
    assert ANN not in seen.body
    headers = dict(served_headers(served))
    assert headers[b"x-nexus-scrubbed"] == b"3"
    assert headers[b"x-nexus-route-reason"] == b"privacy-scrubbed"
    assert headers[b"x-nexus-privacy-zone"] == b"default"


async def test_a_stream_is_scrubbed_too(bench: GatewayBench, outside: ScriptedAdapter) -> None:
    await start(bench, offer(outside), crossing=SCRUB)
    principal = await bench.pipeline.authenticate(KEYED)
    request = parse_request(1, json.dumps(CHAT).encode(), request_id="req_test", principal=principal)
    async with bench.pipeline.stream(request) as messages:
        told = [message async for message in messages]
    assert told[0].served.scrubbed == 3
    assert ANN not in outside.seen[0].body


async def test_without_a_demand_nothing_is_scrubbed(bench: GatewayBench, outside: ScriptedAdapter) -> None:
    await start(bench, offer(outside), crossing=SCRUB)
    served = await ask(bench)
    assert TEXT in outside.seen[0].body
    assert b"x-nexus-scrubbed" not in dict(served_headers(served))


async def test_nothing_to_replace_is_said_to_be_nothing(
    bench: GatewayBench, outside: ScriptedAdapter
) -> None:
    await start(bench, offer(outside), crossing=SCRUB)
    served = await ask(bench, {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, key=KEYED)
    assert dict(served_headers(served))[b"x-nexus-scrubbed"] == b"0"


BLOCKED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"key": KEYED}),
    ({"crossing": {"restricted": "block"}}, {"key": KEYED}),
    ({"crossing": {"elsewhere": "scrub"}}, {"key": TENANTED}),
    ({"crossing": {"m": "scrub"}}, {"key": KEYED}),  # the model gives up its own demand, not the key's
    ({"crossing": {"restricted": "scrub", "m": "block"}}, {"key": KEYED}),
    (
        {"crossing": {"restricted": "scrub", "a": "block"}, "aliases": {"a": "m"}},
        {"key": KEYED, "model": "a"},
    ),
    ({"crossing": SCRUB}, {"zone": "restricted"}),
    ({"crossing": SCRUB}, {"key": KEYED, "zone": "restricted"}),
    ({"crossing": SCRUB}, {"key": KEYED, "zone": "home"}),
    ({"crossing": SCRUB, "zones": {"m": "vault-room"}}, {"key": KEYED}),
    ({"crossing": {"m": "scrub"}, "zones": {"m": "restricted"}}, {"key": KEYED}),
    ({"crossing": {"restricted": "scrub", "m": "block"}, "zones": {"m": "restricted"}}, {}),
]


@pytest.mark.parametrize(("policy", "how"), BLOCKED, ids=str)
async def test_everything_else_stays_inside(
    bench: GatewayBench, outside: ScriptedAdapter, policy: dict[str, Any], how: dict[str, Any]
) -> None:
    await start(bench, offer(outside), **policy)
    how = dict(how)
    await blocked(bench, {**CHAT, "model": how.pop("model", "m")}, **how)
    assert outside.seen == []


@pytest.mark.parametrize("named", ["m", "restricted"])
async def test_what_policy_demands_of_a_model_it_may_give_up(
    bench: GatewayBench, outside: ScriptedAdapter, named: str
) -> None:
    await start(bench, offer(outside), zones={"m": "restricted"}, crossing={named: "scrub"})
    assert (await ask(bench)).scrubbed == 3


async def test_a_model_that_stands_in_keeps_its_own_demand(
    bench: GatewayBench, outside: ScriptedAdapter
) -> None:
    chain = {"m": snapshot_pb2.Fallbacks(models=["n"])}
    down, stand_in = await bench.adapter("down"), offer(outside, "n")
    targets = offer(down, state=instance_pb2.STATE_UNHEALTHY), stand_in
    both = {"m": "restricted", "n": "vault-room"}
    await start(bench, *targets, zones=both, fallbacks=chain, crossing=SCRUB)
    await blocked(bench)
    assert outside.seen == []
    bench.control.router.show(*targets, zones={"m": "restricted"}, fallbacks=chain, crossing=SCRUB)
    await eventually(lambda: len(bench.pipeline.table.table.policy.zones) == 1, what="the new policy")
    served = await ask(bench)
    assert (served.fallback_model, served.scrubbed) == ("n", 3)


async def test_whoever_is_inside_comes_first_even_when_down(
    bench: GatewayBench, outside: ScriptedAdapter
) -> None:
    """Only a zone where nobody offers the model is left: a fault inside is no reason to."""
    inside = await bench.adapter("inside", zone="restricted")
    await start(bench, offer(outside, priority=1), offer(inside), crossing=SCRUB)
    served = await ask(bench, key=KEYED)
    assert (served.backend, served.HasField("scrubbed")) == ("inside", False)
    inside.mode = "fail"
    with pytest.raises(MeshError) as failed:
        await ask(bench, key=KEYED)
    assert failed.value.reason is Reason.UPSTREAM_ERROR
    assert outside.seen == []


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
UNREADABLE: list[tuple[int, dict[str, Any], str]] = [
    (1, {"model": "m", "messages": [{"role": "user", "content": [IMAGE]}]}, "images"),
    (2, {"model": "m", "prompt": [1, 2, 3]}, "tokens"),
    (3, {"model": "m", "input": [[1, 2], [3]]}, "tokens"),
    (2, {"model": "m", "prompt": "1 " * 20_000}, "too long"),
]


@pytest.mark.parametrize(("operation", "body", "what"), UNREADABLE, ids=["image", "prompt", "input", "long"])
async def test_what_cannot_be_looked_through_stays_inside(
    bench: GatewayBench, outside: ScriptedAdapter, operation: int, body: dict[str, Any], what: str
) -> None:
    await start(bench, offer(outside), crossing=SCRUB)
    assert what in await blocked(bench, body, operation=operation, key=KEYED)
    assert outside.seen == []


async def test_explain_tells_where_it_would_go_scrubbed(
    bench: GatewayBench, outside: ScriptedAdapter
) -> None:
    await start(bench, offer(outside), crossing=SCRUB)
    for key, scrubbed in ((KEYED, True), (FREE, False)):
        request = parse_request(1, json.dumps(CHAT).encode(), request_id="req_test", principal=ANONYMOUS)
        request.principal = await bench.pipeline.authenticate(key)
        told = await bench.pipeline.explain(request)
        assert (told.scrubbed, [verdict.rank for verdict in told.verdicts]) == (scrubbed, [1])
    assert outside.seen == []


async def test_no_value_is_logged(
    bench: GatewayBench, outside: ScriptedAdapter, capfd: pytest.CaptureFixture[str]
) -> None:
    await start(bench, offer(outside), crossing=SCRUB)
    await ask(bench, key=KEYED)
    said = "".join(capfd.readouterr())
    assert ANN not in said
    assert "1234567" not in said


async def test_what_waits_outside_is_scrubbed_once_and_said_so(
    bench: GatewayBench, outside: ScriptedAdapter
) -> None:
    outside.mode = "held"
    await start(bench, offer(outside, capacity=1), zones={"m": "restricted"}, crossing=SCRUB)
    first = asyncio.create_task(ask(bench))
    await eventually(lambda: outside.active == 1, what="the first to arrive")
    second = asyncio.create_task(ask(bench))
    await eventually(lambda: REGISTRY.get_sample_value("nexus_gateway_queue_length"), what="one to wait")
    outside.let_go(2)
    assert (await first).scrubbed == (await second).scrubbed == 3
    assert [json.loads(seen.body)["messages"][0]["content"] for seen in outside.seen] == [CLEAN, CLEAN]


async def test_what_waits_outside_stays_in_when_policy_changes(
    bench: GatewayBench, outside: ScriptedAdapter
) -> None:
    outside.mode = "held"
    target = offer(outside, capacity=1)
    await start(bench, target, crossing=SCRUB)
    first = asyncio.create_task(ask(bench, key=KEYED))
    await eventually(lambda: outside.active == 1, what="the first to arrive")
    second = asyncio.create_task(blocked(bench, key=KEYED))
    await eventually(lambda: REGISTRY.get_sample_value("nexus_gateway_queue_length"), what="one to wait")
    bench.control.router.show(target, crossing={"restricted": "block"})
    await eventually(lambda: bench.pipeline.table.table.policy.crossing != SCRUB, what="the new policy")
    outside.let_go(2)
    await first
    await second
    assert len(outside.seen) == 1
