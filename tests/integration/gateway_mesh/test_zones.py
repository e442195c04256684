"""One admission point: whichever way a request comes, who is restricted reaches no backend outside."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import keys_pb2, tenants_pb2
from nexus_gateway.routes import METHODS, build_app
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.client import Method, Peer
from nexus_operations import SPECS
from starlette.routing import Router
from support.contract import Rpc, rpcs
from support.edge_pipeline import EdgePipeline
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway, store_beside

BY_KEY, BY_TENANT, FREE = "nx_by_key", "nx_by_tenant", "nx_free"
MESSAGES = [{"role": "user", "content": "hi"}]
SHAPES: dict[model_pb2.Operation, dict[str, Any]] = {
    model_pb2.OPERATION_CHAT: {"model": "m", "messages": MESSAGES},
    model_pb2.OPERATION_COMPLETION: {"model": "m", "prompt": "hi"},
    model_pb2.OPERATION_EMBEDDING: {"model": "m", "input": "hi"},
    model_pb2.OPERATION_SPEECH: {"model": "m", "input": "hi", "voice": "de"},
    model_pb2.OPERATION_IMAGE: {"model": "m", "prompt": "hi", "size": "auto"},
    model_pb2.OPERATION_VIDEO: {"model": "m", "prompt": "hi", "seconds": "4"},
}
FORMS: dict[model_pb2.Operation, dict[str, Any]] = {
    model_pb2.OPERATION_TRANSCRIPTION: {"model": "m"},
    model_pb2.OPERATION_TRANSLATION: {"model": "m"},
    model_pb2.OPERATION_IMAGE_EDIT: {"model": "m", "prompt": "hi"},
    model_pb2.OPERATION_IMAGE_VARIATION: {"model": "m"},
    model_pb2.OPERATION_OCR: {"model": "m"},
}
"""The same of work that comes with a file."""
BODIES: list[dict[str, Any]] = [
    *({**shape, **more} for shape in SHAPES.values() for more in ({}, {"stream": True})),
    *(
        {**form, **more, next(iter(SPECS[number].files)): b"content"}
        for number, form in FORMS.items()
        for more in ({}, {"stream": "true"})
    ),
    {"model": "m", "prompt": "hi", "images": [{"image_url": "data:image/png;base64,AAAA"}]},
    {"model": "m", "document": {"type": "image_url", "image_url": "data:image/png;base64,iVBORw0KGgo="}},
]
HEALTH = {"/health", "/healthz", "/livez", "/readyz", "/metrics"}
SILENT = {
    "/",
    "/me",
    "/audio/models",
    "/audio/voices",
    "/links/{token}",
    "/metadata",
    "/metadata/{model_id:path}",
    "/models",
    "/models/{model_id:path}",
    "/openapi.json",
    "/realtime",
    "/videos/{video_id}",
    "/videos/{video_id}/content",
    "/videos/{video_id}/remix",
} | HEALTH
"""Paths that send nothing to any backend, or only what was sent before, whatever they are asked by plain HTTP. Every
other one is walked."""


@pytest_asyncio.fixture
async def outside(bench: GatewayBench) -> ScriptedAdapter:
    """The only backend: it can do everything, and is in no zone but the open one."""
    box = await bench.adapter("box", zone="open")
    target = box.target("m")
    target.models[0].operations[:] = [*SHAPES, *FORMS]
    target.models[0].parameters.add(
        operation=model_pb2.OPERATION_SPEECH, schema=json.dumps({"properties": {"voice": {"enum": ["de"]}}})
    )
    vault = bench.control.vault
    vault.tenants["clinic"] = tenants_pb2.Tenant(id="t1", name="clinic", zone="restricted", weight=1)
    vault.tenants["default"] = tenants_pb2.Tenant(id="default", name="default", weight=1)
    vault.keys[BY_KEY] = keys_pb2.Key(id="k1", name="ward", tenant="default", zone="restricted")
    vault.keys[BY_TENANT] = keys_pb2.Key(id="k2", name="desk", tenant="clinic")
    vault.keys[FREE] = keys_pb2.Key(id="k3", name="free", tenant="default")
    bench.control.router.show(target)
    return box


@pytest_asyncio.fixture
async def served(bench: GatewayBench, outside: ScriptedAdapter) -> AsyncIterator[Gateway]:
    async with gateway(bench, auth="keys") as running:
        await eventually(lambda: _status(running, "GET", "/readyz", FREE), what="the gateway being ready")
        await eventually(lambda: bench.control.vault.watchers == 1, what="the key watch")
        yield running


async def _status(served: Gateway, method: str, path: str, key: str) -> bool:
    return (await _send(served, method, path, key, None))[0] == 200


async def _send(served: Gateway, method: str, path: str, key: str, body: Any) -> tuple[int, Any]:
    """Status and decoded answer; what is no JSON object is answered as text. A body with a file is sent as a form."""
    headers = {"Authorization": f"Bearer {key}"}
    has_file = body and any(isinstance(value, bytes) for value in body.values())
    sent: dict[str, Any] = {"data": _form(body)} if has_file else {"json": body}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"http://{served.http}{path}", **sent) as answer,
    ):
        is_json = answer.content_type == "application/json" and method != "HEAD"
        return answer.status, (await answer.json() if is_json else await answer.text())


def _form(body: dict[str, Any]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in body.items():
        form.add_field(name, value, filename="a" if isinstance(value, bytes) else None)
    return form


def _walked() -> Iterator[str]:
    """Every URL of the edge but those that send nothing."""
    app = build_app(EdgePipeline())
    assert isinstance(app, Router)
    paths = {route.path for route in app.routes}  # pyright: ignore[reportAttributeAccessIssue] - all have one
    assert {path.removeprefix("/v1") or "/" for path in paths} >= SILENT
    yield from sorted(path for path in paths if (path.removeprefix("/v1") or "/") not in SILENT)


@pytest.mark.parametrize("key", [BY_KEY, BY_TENANT])
async def test_no_url_leads_a_restricted_caller_outside(
    served: Gateway, outside: ScriptedAdapter, key: str
) -> None:
    for path in _walked():
        codes = set()
        for method in METHODS:
            for body in BODIES:
                status, told = await _send(served, method, path, key, body)
                if path.endswith("/route/explain") and status == 200:
                    assert told["zones"] == ["restricted"]
                    assert told["candidates"] == []
                    codes.add("privacy_zone")
                else:
                    assert status >= 400, (method, path, body)
                    codes.add(told["error"]["code"] if isinstance(told, dict) else status)
        assert "privacy_zone" in codes, path
    assert outside.reached == 0


async def test_the_same_walk_does_get_there_without_a_demand(
    bench: GatewayBench, served: Gateway, outside: ScriptedAdapter
) -> None:
    """The switch that shows the walk above can fail."""
    async with store_beside(bench, served):
        for path in _walked():
            if not path.endswith("/route/explain"):
                asked = len(outside.seen)
                for body in BODIES:
                    await _send(served, "POST", path, FREE, body)
                await eventually(lambda asked=asked: len(outside.seen) > asked, what=f"{path} getting there")


@pytest.mark.parametrize(("zone", "reached"), [("restricted", False), ("open", True)])
async def test_no_rpc_leads_outside_either(
    bench: GatewayBench, served: Gateway, outside: ScriptedAdapter, zone: str, reached: bool
) -> None:
    """Members of the mesh have no key; what they demand stands in the envelope."""
    server_name = bench.ca.spiffe("gateway").server_name
    peer = Peer(served.grpc_address, server_name, bench.ca.identity("operator"))
    walked = [rpc for rpc in rpcs() if rpc.service == "nexus.inference.v1.InferenceService"]
    assert walked
    for rpc in walked:
        for operation, shape in (SHAPES | FORMS).items():
            envelope = inference_pb2.Envelope(
                operation=operation, model="m", body=json.dumps(shape), zone=zone, request_id="req_test"
            )
            for tunnelled in (False, True):
                asked = outside.reached
                reason = await _refusal(peer, rpc, envelope, tunnelled=tunnelled)
                wanted = (reached, None if reached else Reason.PRIVACY_ZONE)
                if rpc.client_streaming and tunnelled:  # a tunnel carries no such call
                    wanted = (False, Reason.MESH_POLICY)
                elif rpc.client_streaming is not (operation in FORMS):
                    wanted = (False, Reason.INVALID_REQUEST)
                elif rpc.client_streaming and reached:  # there is no file in it
                    wanted = (True, Reason.INVALID_REQUEST)
                assert (outside.reached > asked, reason) == wanted
    await peer.close()


async def _refusal(
    peer: Peer, rpc: Rpc, envelope: inference_pb2.Envelope, *, tunnelled: bool
) -> Reason | None:
    method = Method(rpc.service, rpc.name, rpc.request, rpc.response, tunnelled=tunnelled)
    start = inference_pb2.UploadStart(envelope=envelope)
    request = rpc.request(start=start) if rpc.client_streaming else rpc.request(envelope=envelope)
    try:
        if rpc.server_streaming:
            async with peer.stream(method, request, timeout=5) as call:
                async for _ in call:
                    pass
        else:
            await peer.unary(method, request, timeout=5)
    except MeshError as error:
        return error.reason
    return None


async def _code(served: Gateway, key: str) -> str:
    status, told = await _send(served, "POST", "/v1/chat/completions", key, BODIES[0])
    return "ok" if status == 200 else told["error"]["code"]


async def test_a_tightened_tenant_is_kept_inside_by_a_warm_gateway(
    bench: GatewayBench, served: Gateway, outside: ScriptedAdapter
) -> None:
    assert await _code(served, FREE) == "ok"
    bench.control.vault.change("default", "restricted")
    await eventually(lambda: _is(served, FREE, "privacy_zone"), what="the demand to be kept")
    assert bench.control.vault.asked == [FREE], "the watch says all there is to know"
    bench.control.vault.change("default", "")
    await eventually(lambda: _is(served, FREE, "ok"), what="the demand to be dropped")


async def test_what_changed_during_an_outage_counts_when_the_vault_is_back(
    bench: GatewayBench, served: Gateway, outside: ScriptedAdapter
) -> None:
    assert await _code(served, FREE) == "ok"
    await bench.control.stop("vault")
    bench.control.vault.change("default", "restricted")
    assert await _code(served, FREE) == "ok", "nobody could tell it"
    await bench.control.start("vault")
    await eventually(lambda: _is(served, FREE, "privacy_zone"), timeout=20, what="the demand to be kept")


async def _is(served: Gateway, key: str, code: str) -> bool:
    return await _code(served, key) == code


MANAGER = "nx_manager"


@pytest.mark.security
async def test_a_key_sees_only_what_it_may_use(
    bench: GatewayBench, served: Gateway, outside: ScriptedAdapter
) -> None:
    """A14: models that its zone keeps from it are not listed, nor is anything told of who offers them."""
    bench.control.vault.keys[MANAGER] = keys_pb2.Key(
        id="k4", name="boss", tenant="default", zone="restricted", manage=True
    )
    listed = {key: await _models(served, key) for key in (BY_KEY, BY_TENANT, FREE, MANAGER)}
    assert listed == {BY_KEY: [], BY_TENANT: [], FREE: ["m"], MANAGER: ["m"]}
    for key, names in listed.items():
        _, speaking = await _send(served, "GET", "/v1/audio/models", key, None)
        _, heard = await _send(served, "GET", "/v1/audio/voices", key, None)
        assert [row["id"] for row in speaking["models"]] == names
        assert [row["id"] for row in heard["voices"]] == ["de"] * len(names)
    assert (await _send(served, "GET", "/v1/models/m", BY_KEY, None))[0] == 404
    assert (await _send(served, "GET", "/v1/models/m", FREE, None))[0] == 200
    body = SHAPES[model_pb2.OPERATION_CHAT]
    _, hidden = await _send(served, "POST", "/v1/chat/completions", BY_KEY, body)
    _, told = await _send(served, "POST", "/v1/chat/completions", MANAGER, body)
    assert "box" not in json.dumps(hidden)
    assert "box is in zone open" in told["error"]["message"]
    _, near = await _send(served, "POST", "/v1/chat/completions", BY_KEY, {**body, "model": "mm"})
    assert "'m'" not in near["error"]["message"]


async def _models(served: Gateway, key: str) -> list[str]:
    status, told = await _send(served, "GET", "/v1/models", key, None)
    assert status == 200
    return [row["id"] for row in told["data"]]
